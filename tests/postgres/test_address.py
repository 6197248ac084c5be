"""``database_url`` has the meaning that libpq gives it, and SQLAlchemy's form of several hosts."""

from __future__ import annotations

import pytest

from reactions.core.errors import InvalidSettings
from reactions.core.settings import Settings
from reactions.postgres.address import options_of, parameters_of


def read(url: str) -> dict[str, str]:
    return parameters_of(Settings(database_url=url).database_url.get_secret_value())


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("h1:5432,h2:5433/x", "h1,h2", "5432,5433"),
        ("h1,h2:5433/x", "h1,h2", ",5433"),
        ("[::1]:5432,h2/x", "::1,h2", "5432,"),
        ("/x?host=h1:5432&host=h2:5433", "h1,h2", "5432,5433"),
        ("/x?host=h1:5432,h2:5433", "h1,h2", "5432,5433"),
        ("/x?host=h1,h2&port=5432,5433", "h1,h2", "5432,5433"),
        ("h1:5432/x", "h1", "5432"),
    ],
)
def test_hosts(written: str, host: str, port: str) -> None:
    found = read(f"postgresql://{written}")
    assert (found["host"], found["port"], found["dbname"]) == (host, port, "x")


def test_every_option_is_kept() -> None:
    query = (
        "host=/run/pg&application_name=shop&connect_timeout=7&sslmode=verify-full&sslrootcert=/c"
        "&target_session_attrs=read-write&keepalives_idle=30&options=-c%20work_mem%3D8MB"
    )
    found = read(f"postgresql://me:p%40ss@/x?{query}")
    assert found.pop("options") == "-c work_mem=8MB"
    assert found == {
        "user": "me",
        "password": "p@ss",
        "dbname": "x",
        "host": "/run/pg",
        "application_name": "shop",
        "connect_timeout": "7",
        "sslmode": "verify-full",
        "sslrootcert": "/c",
        "target_session_attrs": "read-write",
        "keepalives_idle": "30",
    }


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("h/x?pool_size=5", "the option pool_size, which libpq does not know"),
        ("h1/x?host=h2", "gives host twice"),
        ("h/x?sslmode=require&sslmode=disable", "gives sslmode twice"),
        ("h/x?options=-c%20statement_timeout%3D0", "sets statement_timeout in options"),
        ("h/x?options=--lock-timeout%3D0", "sets lock_timeout in options"),
        ("h/x?options=-csearch_path%3Dx", "search_path .*set REACTIONS_DATABASE_SCHEMA instead"),
        ("h%zz/x", "is not a URL that libpq can read"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(written: str, says: str) -> None:
    with pytest.raises(InvalidSettings, match=says) as refused:
        read(f"postgresql://me:hunter2@{written}")
    assert "hunter2" not in str(refused.value)


def test_the_names_that_options_sets() -> None:
    written = "-c jit=on -cwork_mem=8MB --random-page-cost=4 -c my.own = 1"
    assert options_of({"options": written}) == {"jit", "work_mem", "random_page_cost", "my.own"}

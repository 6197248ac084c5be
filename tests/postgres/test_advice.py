"""Each kind of PostgreSQL that cannot serve gets its own remedy; none another's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trustme
from sqlalchemy import text

from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.ops.doctor.findings import State
from reactions.ops.doctor.postgres import check_postgres_version
from reactions.postgres.advice import advice
from reactions.postgres.database import Database
from tests.support.guarded import PASSWORD, Roles, running_roles, user

pytestmark = pytest.mark.slow

WANTED, REFUSED = "the server wants a password", "refuses the user or the password"
TLS, DATABASE = "the server requires TLS", "names another database, or it is not created yet"
TABLES, NOT_POSTGRES = (
    "its tables are not those of this version",
    "what listens there is no PostgreSQL",
)
NOBODY, ROLE = "nobody listens there", "a user that the server does not know"
REMEDIES = {WANTED, REFUSED, TLS, DATABASE, TABLES, NOT_POSTGRES, NOBODY, ROLE}


@pytest.fixture(scope="module")
def roles() -> Iterator[Roles]:
    """Debian's PostgreSQL, because those of the wheel lack TLS."""
    with running_roles(15, tls=trustme.CA()) as running:
        yield running


def url_of(roles: Roles, kind: str) -> str:
    writer, name = roles.url_of("writer"), "reactions_writer"
    return {
        "no password": writer.replace(user(name), f"{name}@") + "?sslmode=require",
        "a wrong password": roles.url_of("writer", "wrong"),  # libpq then tries without TLS
        "no TLS": f"{writer}?sslmode=disable",
        "another database": roles.admin.replace("/reactions?", "/nowhere?"),
        "another user": roles.admin.replace("//postgres:@", "//somebody:@"),
        "no tables": roles.admin.replace("/reactions?", "/postgres?"),
        "nobody": "postgresql://127.0.0.1:1/reactions",
    }[kind]


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("no password", WANTED),
        ("a wrong password", REFUSED),
        ("no TLS", TLS),
        ("another database", DATABASE),
        ("no tables", TABLES),
        ("nobody", NOBODY),
    ],
)
def test_the_library_and_the_doctor_name_this_remedy_and_no_other(
    roles: Roles, kind: str, remedy: str
) -> None:
    database = Database(Settings(database_url=url_of(roles, kind)))
    try:
        with pytest.raises(ReactionsUnavailable) as caught, database.transaction() as connection:
            connection.execute(text("SELECT count(*) FROM reaction_counts"))
        finding = check_postgres_version(database)
    finally:
        database.close()
    assert {words for words in REMEDIES if words in str(caught.value)} == {remedy}
    assert PASSWORD not in str(caught.value)
    if kind != "no tables":  # the server answers, and another check looks at the tables
        assert finding.state is State.FAILURE
        assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("FATAL:  the database system is starting up", "wait"),
        ("FATAL:  the database system is not yet accepting connections", "wait"),
        ("FATAL:  the database system is shutting down", "is being stopped"),
        ("received invalid response to SSL negotiation: -", NOT_POSTGRES),
        ("server does not support SSL, but SSL was required", "does not use TLS"),
        ('FATAL:  role "x" does not exist', ROLE),
        ("FATAL:  sorry, too many clients already", "max_connections"),
        ('FATAL:  no pg_hba.conf entry for host "::1", user "x", SSL encryption', "pg_hba.conf"),
        ("function newest_of_user(integer, integer) does not exist", TABLES),
        ("division by zero", ""),
    ],
)
def test_a_message_has_its_remedy(reason: str, says: str) -> None:
    found = advice(reason)
    assert says in found
    assert bool(says) == bool(found)

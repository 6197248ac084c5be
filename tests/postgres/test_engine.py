"""Every engine, that of migrations too, connects as ``database_url`` says."""

from __future__ import annotations

from typing import Any

from sqlalchemy import make_url, text

from alembic import command
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.limits import in_force
from reactions.postgres.migrate import config_for, open_connection


def test_what_the_url_says_comes_first(database_url: str) -> None:
    own = make_url(database_url).update_query_dict(
        {"options": "-c jit=on", "application_name": "shop", "connect_timeout": "7"}
    )
    database = Database(Settings(database_url=own.render_as_string(hide_password=False)))
    with database.transaction() as connection:
        found = in_force(connection, ["jit", "application_name", "random_page_cost"])
        assert found == {"jit": "on", "application_name": "shop", "random_page_cost": "1.1"}
        driver: Any = connection.connection.driver_connection
        assert driver.info.dsn_parameters["connect_timeout"] == "7"
    assert "jit" not in database.limits
    database.close()


def test_several_hosts(database_url: str) -> None:
    """The first one does not answer, and the second one is the server."""
    url = make_url(database_url)
    hosts = f"host=127.0.0.1:1&host={url.query['host']}&target_session_attrs=read-write"
    for written in (hosts, hosts.replace(":1&host=", ",") + "&port=1,5432"):
        name = f"postgresql://postgres@/{url.database}?{written}"
        database = Database(Settings(database_url=name), name="reactions-some")
        with database.transaction() as connection:
            named = connection.scalar(text("SHOW application_name"))
        assert named == "reactions-some"
        database.close()


def test_a_migration_leaves_no_lock_timeout_behind(database_url: str) -> None:
    with open_connection(Settings(database_url=database_url)) as connection:
        assert connection.scalar(text("SHOW lock_timeout")) == "5s"
        connection.rollback()
        command.upgrade(config_for(connection), "head")
        connection.rollback()
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("0",)

"""``check_replica``: the standby that answers lists."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.ops.doctor.findings import Finding, State
from reactions.ops.doctor.replica import check_replica
from reactions.postgres.database import Database
from tests.postgres.standby import paused_replay, running_standby, same_database

pytestmark = pytest.mark.slow


def finding(database_url: str, replica_url: str) -> Finding:
    settings = Settings(database_url=database_url, replica_url=SecretStr(replica_url))
    database = Database(settings)
    try:
        (found,) = check_replica(database, settings)
    finally:
        database.close()
    assert found.check == "postgresql replica"
    return found


def test_no_replica_is_no_finding(database_url: str) -> None:
    settings = Settings(database_url=database_url)
    database = Database(settings)
    assert list(check_replica(database, settings)) == []
    database.close()


def test_a_standby_and_what_is_wrong_with_one(postgres: Postgres, database_url: str) -> None:
    with running_standby(postgres) as standby:
        url = same_database(standby, database_url)
        assert finding(database_url, url).state is State.OK
        with paused_replay(url, database_url):
            found = finding(database_url, url)
            assert found.state is State.WARNING
            assert "paused" in found.found
    found = finding(database_url, database_url)
    assert found.state is State.WARNING
    assert "it is a primary" in found.found
    found = finding(database_url, "postgresql://127.0.0.1:1/x")
    assert found.state is not State.OK

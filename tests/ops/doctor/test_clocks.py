"""``reactions.ops.doctor.clocks``: clocks that differ by more than a lease."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import create_engine, text

from reactions.core.model import Row
from reactions.ops.doctor import State
from reactions.redis.keys import default_keys as keys
from tests.ops.doctor.examining import findings
from tests.support.engine import Engine


@pytest.fixture
def database_url(own_database_url: str) -> str:
    """A database of its own: the test gives it a function and a setting."""
    return own_database_url


def test_clocks_that_differ(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that shadows PostgreSQL's own makes its clock seven seconds fast."""
    url = engine.settings.database_url.get_secret_value()
    admin = create_engine(url)
    with admin.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION reactions.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS"
                " $$ SELECT pg_catalog.clock_timestamp() + interval '7 s' $$"
            )
        )
    admin.dispose()
    monkeypatch.setattr(
        "reactions.postgres.database.search_path", lambda schema: f"{schema}, pg_catalog"
    )
    # The lease of the fixture is longer than seven seconds on a busy machine.
    found = findings(engine.settings.model_copy(update={"lease_s": 1.0}))["clocks"]
    assert re.search(r"postgresql \+(6\.9|7\.0)", found.found)
    assert (found.state, "NTP" in found.remedy) == (State.FAILURE, True)


def test_a_shard_whose_versions_are_in_the_future(engine: Engine) -> None:
    """The clock of Redis was a year ahead while two shards took a reaction."""
    assert findings(engine.settings)["versions"].state is State.OK
    year = 365 * 86_400_000_000
    for shard, ahead in ((42, year), (43, year // 2)):
        now = int(engine.clock.now_us())
        engine.client.set(keys.outbox_clock(shard), now + ahead)
    found = findings(engine.settings)["versions"]
    assert (found.state, "in the future" in found.remedy) == (State.WARNING, True)
    assert "reactions clock --repair" in found.remedy
    assert re.match(r"shard 42 is 31,53\d,\d{3} s ahead .*, and 1 other shards less", found.found)


def test_rows_in_the_future_of_a_shard_whose_clock_is_right(engine: Engine) -> None:
    now = int(engine.clock.now_us())
    engine.ledger.record([Row(1042, 1, 1, now + 3_600_000_000)])
    found = findings(engine.settings)["versions"]
    assert (found.state, found.found[:8]) == (State.WARNING, "shard 42")

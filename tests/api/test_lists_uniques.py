"""``Lists.uniques``: how many users ever reacted on a post."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from reactions.maintenance.cleanup import Cleanup
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine, make_engine
from tests.support.reading import (
    POST,
    evict,
    make_viral,
    react,
    traffic,
)


def test_uniques_of_a_regular_post_count_everyone_who_ever_reacted(engine: Engine) -> None:
    client = engine.reactions
    assert client.uniques(POST) == 0
    react(engine, POST, range(1, 11))
    engine.drain()
    assert client.uniques(POST) == 10
    react(engine, POST, range(1, 5), None)
    react(engine, POST, range(5, 8), "love")
    engine.drain()
    assert client.counts(POST)["like"] == 3
    assert client.uniques(POST) == 10
    react(engine, POST, [1, 2, 99])
    engine.drain()
    assert client.uniques(POST) == 11
    client.delete_post(POST)
    assert client.uniques(POST) == 0


def test_uniques_include_users_who_removed_a_reaction_that_did_not_exist(engine: Engine) -> None:
    """Their removals left tombstones."""
    react(engine, POST, [1, 2, 3])
    react(engine, POST, [4, 5], None)
    engine.drain()
    assert engine.reactions.uniques(POST) == 5


def test_uniques_of_a_viral_post_are_one_round_trip(small: Engine) -> None:
    make_viral(small, POST)
    client = small.reactions
    react(small, POST, range(1, 6), None)
    react(small, POST, range(100, 105))
    client.counts(POST)
    with traffic(client) as seen:
        assert client.uniques(POST) == 20
    assert (seen.trips, seen.queries) == (1, [])
    small.drain()
    evict(small)
    assert client.uniques(POST) == 20
    react(small, POST, [200])
    small.drain()  # loads the sample and the HyperLogLog
    assert small.client.exists(keys.post_uniques(POST))
    assert client.uniques(POST) == 21
    client.delete_post(POST)
    assert client.uniques(POST) == 0


def test_uniques_of_a_regular_post_forget_old_removals(engine: Engine) -> None:
    """Those of more than ``tombstone_days`` ago, whose rows are gone."""
    react(engine, POST, [1, 2, 3])
    react(engine, POST, [1], None)
    engine.drain()
    with engine.database.transaction() as connection:
        day_us = 24 * 3600 * 1_000_000
        connection.execute(
            text("UPDATE reactions SET version = version - :by WHERE reaction = 0"),
            {"by": (engine.settings.tombstone_days + 1) * day_us},
        )
    assert engine.reactions.uniques(POST) == 3
    Cleanup(engine.client, engine.database, engine.settings).run()
    assert engine.reactions.uniques(POST) == 2


def test_estimated_uniques_are_within_three_percent(engine: Engine) -> None:
    settings = engine.settings.model_copy(update={"viral_threshold": 2_000})
    small = make_engine(settings)
    react(small, POST, range(1, 5_001))
    small.drain()
    assert small.client.exists(keys.post_uniques(POST))
    assert small.reactions.uniques(POST) == pytest.approx(5_000, rel=0.03)
    small.client.delete(keys.post_uniques(POST))
    assert small.reactions.uniques(POST) == 5_000
    small.close()

"""``Persister``: drains make changes durable, and survive failures of both stores."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.drain.batch import DrainFailed
from reactions.drain.persister import Persister
from reactions.postgres.database import Database
from reactions.redis.keys import default_keys as keys
from tests.drain.support import POST, SHARD, react, step
from tests.support.engine import Engine


def test_counts_and_rows_agree_after_a_drain(engine: Engine) -> None:
    react(engine, 50)
    engine.reactions.react(1, POST, "love")
    engine.reactions.unreact(2, POST)
    engine.drain()
    assert engine.queries.counts([POST])[POST] == {1: 48, 2: 1}
    assert engine.reactions.counts(POST)["like"] == 48
    assert engine.verify().holds


def test_a_user_who_toggles_is_persisted_once(engine: Engine) -> None:
    for reaction in ("like", "love", "wow", "like", "sad"):
        engine.reactions.react(1, POST, reaction)
    assert engine.outbox_state.pending() == 1
    assert engine.persister.drain([SHARD]).rows == 1
    assert engine.queries.reactions([POST]) == {POST: {1: 5}}


def test_a_removal_leaves_a_tombstone_and_zero_counts(engine: Engine) -> None:
    engine.reactions.react(1, POST, "like")
    engine.drain()
    engine.reactions.unreact(1, POST)
    engine.drain()
    assert engine.queries.reactions([POST]) == {POST: {}}
    assert engine.queries.counts([POST]) == {POST: {1: 0}}
    with engine.database.engine.connect() as connection:
        stored = connection.execute(text("SELECT reaction FROM reactions WHERE post_id = 1042"))
        assert stored.scalars().all() == [0]


def test_one_drain_takes_many_shards_in_one_transaction(engine: Engine) -> None:
    for post in range(1, 101):
        react(engine, 3, post)
    done = engine.persister.drain(range(100))
    assert (done.rows, done.changed, done.transactions, done.leftover) == (300, 300, 1, [])
    assert engine.outbox_state.pending() == 0
    assert engine.verify().holds


def test_a_drain_also_takes_changes_that_came_after_a_leftover_claim(engine: Engine) -> None:
    react(engine, 1)
    engine.outbox.claim({SHARD: ""})
    react(engine, 2)
    engine.client.delete(keys.outbox_lease(SHARD))  # the first drain died
    engine.persister.drain([SHARD])
    assert engine.outbox_state.pending() == 0


def test_a_drain_frees_memory_when_redis_is_full(engine: Engine) -> None:
    """Redis refuses writes then, but acknowledged changes must still become durable."""
    react(engine, 500)
    engine.client.config_set("maxmemory-policy", "noeviction")
    engine.client.config_set("maxmemory", "1")
    try:
        with pytest.raises(ReactionsUnavailable, match="refuses to serve"):
            engine.reactions.react(501, POST, "like")
        assert step(engine, 100).persister.drain([SHARD]).rows == 500
        assert engine.outbox_state.pending() == 0
    finally:
        engine.client.config_set("maxmemory", "0")
        engine.client.config_set("maxmemory-policy", "volatile-lru")


def test_without_a_database_a_drain_fails_and_keeps_its_claim(
    engine: Engine, settings: Settings
) -> None:
    react(engine, 5)
    nowhere = settings.model_copy(
        update={"database_url": Settings(database_url="postgresql://127.0.0.1:1/x").database_url}
    )
    persister = Persister(engine.client, Database(nowhere), settings)
    persister._registered = True  # a worker in service has registered its types
    with pytest.raises(DrainFailed) as failure:
        persister.drain([SHARD])
    tokens = failure.value.tokens
    assert list(tokens) == [SHARD]
    assert engine.outbox_state.pending() == 5
    engine.outbox.extend_leases(tokens, 0.2)
    assert engine.persister.drain([SHARD]).rows == 0  # other drains respect the lease
    assert engine.persister.drain([SHARD], tokens).rows == 5  # its own retry has the token
    assert engine.verify().holds


def test_a_drain_returns_the_rest_when_its_budget_runs_out(
    engine: Engine, settings: Settings
) -> None:
    hurried = settings.model_copy(update={"drain_budget_s": 0.0})
    persister = Persister(engine.client, engine.database, hurried)
    react(engine, 1)
    assert persister.drain([SHARD]).leftover == [SHARD]


def test_lags_are_counted_for_every_durable_reaction(engine: Engine) -> None:
    react(engine, 30)
    react(engine, 12, POST + 1)
    engine.drain()
    assert sum(engine.outbox_state.lags().values()) == 42

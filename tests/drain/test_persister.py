"""The drain on real stores: exact counts, idempotence, poison rows, large posts, lost leases."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from reactions.api.client import Reactions
from reactions.core.errors import ReactionsUnavailable
from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.drain.batch import Batch, Drained, DrainFailed
from reactions.drain.persister import Persister
from reactions.postgres.database import Database
from reactions.postgres.ledger import Recorded
from reactions.redis import keys
from reactions.redis.outbox import Outbox
from tests.support.engine import Engine, make_engine
from tests.support.servers import running_redis
from tests.support.waiting import patience

POST = 1042
SHARD = 42


def react(engine: Engine, users: int, post_id: int = POST, reaction: str = "like") -> None:
    engine.reactions.react_many((user, post_id, reaction) for user in range(1, users + 1))


def step(engine: Engine, batch_rows: int, **update: int) -> Engine:
    """The same stores with a smaller batch."""
    settings = engine.settings.model_copy(update={"batch_rows": batch_rows, **update})
    engine.outbox = Outbox(engine.client, settings)
    engine.persister = Persister(engine.client, engine.database, settings)
    return engine


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


def test_a_batch_recorded_twice_changes_nothing_the_second_time(engine: Engine) -> None:
    react(engine, 20)
    (claim,), _ = engine.outbox.claim({SHARD: ""})
    first, second = Drained(), Drained()
    engine.persister.record([claim], first)
    engine.persister.record([claim], second)
    assert (first.changed, second.changed) == (20, 0)
    assert engine.queries.counts([POST])[POST] == {1: 20}


@pytest.mark.parametrize("batch_rows", [1, 7, 100])
def test_a_post_larger_than_a_batch_goes_in_pieces(engine: Engine, batch_rows: int) -> None:
    react(engine, 600)  # beyond a listpack, so that HSCAN takes several steps
    done = step(engine, batch_rows).persister.drain([SHARD])
    assert done.rows >= 600
    assert engine.outbox_state.pending() == 0
    assert engine.queries.counts([POST])[POST] == {1: 600}
    assert engine.verify().holds


@pytest.mark.parametrize("field", [b"\xff\xfe", b"007", b"nobody"])
def test_a_large_post_with_a_field_that_is_no_user_is_drained_all_the_same(
    engine: Engine, field: bytes
) -> None:
    """It is trimmed as it stands, or the scan would find it for ever."""
    react(engine, 600)
    engine.client.hset(keys.post_pending(POST), field, "1:5")
    done = step(engine, 50).persister.drain([SHARD])
    assert (done.refused, engine.outbox_state.pending()) == (1, 0)
    assert engine.queries.counts([POST])[POST] == {1: 600}


def test_a_drain_that_dies_in_the_middle_of_a_large_post_goes_on_where_it_was(
    engine: Engine,
) -> None:
    react(engine, 2000)
    step(engine, 100)
    (claim,), _ = engine.outbox.claim({SHARD: ""})
    pieces = engine.outbox.scan(POST)
    for _ in range(3):
        fields, entries = next(pieces)
        engine.persister._recorder._record_entries(entries, Batch(), Drained())
        assert engine.outbox.trim(claim, POST, fields)
    left = engine.client.hlen(keys.post_claimed(POST))
    assert left < 2000
    engine.client.delete(keys.outbox_lease(SHARD))  # died; its lease lapsed
    done = engine.persister.drain([SHARD])
    assert done.rows == done.changed == left
    assert engine.verify().holds


def test_a_drain_that_dies_after_all_of_a_large_post_leaves_no_wrong_counts(
    engine: Engine,
) -> None:
    """What was there before is not known of a cold post: only a settlement brings its counts."""
    react(engine, 1_000)
    engine.drain()
    assert engine.reactions.counts(POST)["like"] == 1_000
    react(engine, 2_000)
    (claim,), _ = step(engine, 100).outbox.claim({SHARD: ""})
    engine.persister.record([claim], Drained())
    engine.client.delete(keys.outbox_lease(SHARD))  # died; its lease lapsed
    engine.drain()
    assert engine.client.hgetall(keys.post_reaction_counts(POST))[b"1"] == b"2000"
    assert engine.verify().holds


def test_a_drain_also_takes_what_came_behind_a_leftover_claim(engine: Engine) -> None:
    react(engine, 1)
    engine.outbox.claim({SHARD: ""})
    react(engine, 2)
    engine.client.delete(keys.outbox_lease(SHARD))  # the first drain died
    engine.persister.drain([SHARD])
    assert engine.outbox_state.pending() == 0


def test_a_scan_cut_by_a_restart_of_redis_loses_nothing(tmp_path: Path, settings: Settings) -> None:
    """A cursor means nothing to a server that was restarted; it may skip entries."""
    with running_redis(tmp_path, "valkey") as server:
        own = settings.model_copy(
            update={"redis_url": SecretStr(server.url), "batch_rows": 200, "lease_s": 60.0}
        )
        engine = make_engine(own)
        react(engine, 5000)
        record, calls = engine.persister._recorder._ledger.record, itertools.count()
        trim, trimmed = engine.persister._recorder._outbox.trim, threading.Semaphore(0)

        def trimming(*arguments: Any) -> bool:
            try:
                return trim(*arguments)
            finally:
                trimmed.release()

        def recording(rows: Sequence[Row]) -> Recorded:
            number = next(calls)
            if 0 < number <= 5:  # what goes on beside it in Redis is done: the scan is what is cut
                assert trimmed.acquire(timeout=patience(20))
            if number == 5:
                server.stop()
                server.start()
            return record(rows)

        engine.persister._recorder._outbox.trim = trimming  # type: ignore[method-assign, assignment]
        engine.persister._recorder._ledger.record = recording  # type: ignore[method-assign]
        engine.drain()
        assert engine.queries.counts([POST])[POST] == {1: 5000}
        assert engine.verify().holds
        engine.close()


def test_a_drain_makes_room_where_memory_is_used_up(engine: Engine) -> None:
    """Writers are refused then; what they were acknowledged must not be stuck with them."""
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


def test_small_posts_do_not_wait_for_a_large_one(engine: Engine) -> None:
    react(engine, 600)
    react(engine, 1, POST + 1)
    order: list[int] = []
    step(engine, 50)
    record = engine.persister._recorder._ledger.record

    def recording(rows: Sequence[Row]) -> Recorded:
        order.append(rows[0].post_id)
        return record(rows)

    engine.persister._recorder._ledger.record = recording  # type: ignore[method-assign]
    engine.persister.drain([SHARD, SHARD + 1])
    assert order[0] == POST + 1
    assert engine.verify().holds


def test_a_shard_from_before_a_clock_step_is_swept(engine: Engine) -> None:
    react(engine, 1)
    engine.outbox.claim({SHARD: ""})
    ahead = engine.client.time()[0] * 1_000_000 + 3_600_000_000
    engine.client.set(keys.outbox_lease(SHARD), f"gone|{ahead}|0")
    engine.client.zadd(keys.outbox_dirty(SHARD), {str(POST): ahead})
    assert engine.outbox_state.overdue(2.0) == [SHARD]


def test_a_stale_drain_can_neither_settle_nor_undo(engine: Engine) -> None:
    react(engine, 5)
    (stale,), _ = engine.outbox.claim({SHARD: ""})
    engine.client.delete(keys.outbox_lease(SHARD))  # as if its lease had lapsed
    engine.drain()
    engine.reactions.react(1, POST, "love")
    engine.drain()
    engine.reactions.react(2, POST, "wow")  # pending when the stale one wakes up
    late = Drained()
    engine.persister.settle([stale], engine.persister.record([stale], late), late)
    assert (late.changed, late.lost) == (0, 1)
    assert engine.outbox_state.pending() == 1
    engine.drain()
    assert engine.queries.counts([POST])[POST] == {1: 3, 2: 1, 4: 1}
    assert engine.verify().holds


POISON = [
    ("code that no type has", "7", "99:{version}"),
    ("code beyond smallint", "7", "70000:{version}"),
    ("negative code", "7", "-1:{version}"),
    ("user beyond bigint", str(2**63), "1:{version}"),
    ("user zero", "0", "1:{version}"),
    ("version zero", "7", "1:0"),
    ("version beyond bigint", "7", "1:99999999999999999999"),
    ("no version", "7", "1"),
    ("not a number", "7", "like:{version}"),
    ("no user", "nobody", "1:{version}"),
    ("a user of leading zeros", "007", "1:{version}"),
    ("empty", "7", ""),
    ("NUL", "7", "1:\0"),
]


@pytest.mark.parametrize(
    ("user", "value"), [case[1:] for case in POISON], ids=[c[0] for c in POISON]
)
def test_a_row_that_is_refused_holds_up_nothing_else(engine: Engine, user: str, value: str) -> None:
    """It goes to the dead letters alone, once; its neighbours and its own post are exact."""
    react(engine, 9, POST)
    react(engine, 9, POST + 100)
    version = 1_700_000_000_000_000
    engine.client.hset(keys.post_pending(POST), user, value.format(version=version))
    done = engine.persister.drain([SHARD])
    assert done.refused == 1
    assert engine.outbox_state.pending() == 0
    assert engine.dead_letters.count() == 1
    healthy = 9 if user != "7" else 8
    assert engine.queries.counts([POST, POST + 100]) == {POST: {1: healthy}, POST + 100: {1: 9}}
    assert engine.reactions.counts(POST)["like"] == healthy
    assert engine.verify().holds


def test_without_a_database_a_drain_fails_and_keeps_its_claim(
    engine: Engine, settings: Settings
) -> None:
    react(engine, 5)
    nowhere = settings.model_copy(
        update={"database_url": Settings(database_url="postgresql://127.0.0.1:1/x").database_url}
    )
    persister = Persister(engine.client, Database(nowhere), settings)
    persister._registered = True  # past the first contact, as a worker in service is
    with pytest.raises(DrainFailed) as failure:
        persister.drain([SHARD])
    tokens = failure.value.tokens
    assert list(tokens) == [SHARD]
    assert engine.outbox_state.pending() == 5
    engine.outbox.extend_leases(tokens, 0.2)
    assert engine.persister.drain([SHARD]).rows == 0  # others leave it alone
    assert engine.persister.drain([SHARD], tokens).rows == 5  # its own retry does not
    assert engine.verify().holds


def test_a_backlog_of_many_batches_does_not_outlive_its_leases(engine: Engine) -> None:
    """Otherwise another drain would take the shards, and nobody would ever settle them."""
    for post in range(1, 41):
        react(engine, 5, post)
    step(engine, 5)
    claims, _ = engine.outbox.claim(dict.fromkeys(range(1, 41), ""))
    lapsing = [keys.outbox_lease(claim.shard) for claim in claims]
    engine.outbox.extend_leases({claim.shard: claim.token for claim in claims}, 0.0)  # all but over
    engine.persister.record(claims, Drained())
    now = engine.client.time()
    for lease in lapsing:
        assert int(str(engine.client.get(lease)).split("|")[1]) > now[0] * 1_000_000 + now[1]


def test_a_budget_that_runs_out_hands_on_the_rest(engine: Engine, settings: Settings) -> None:
    hurried = settings.model_copy(update={"drain_budget_s": 0.0})
    persister = Persister(engine.client, engine.database, hurried)
    react(engine, 1)
    assert persister.drain([SHARD]).leftover == [SHARD]


def test_lags_are_counted_for_every_durable_reaction(engine: Engine) -> None:
    react(engine, 30)
    react(engine, 12, POST + 1)
    engine.drain()
    assert sum(engine.outbox_state.lags().values()) == 42


def test_the_whole_keyspace_has_a_ttl_or_is_outbox(engine: Engine) -> None:
    """A cache key without one would never go; an outbox key with one would be lost."""
    for post in range(1, 30):
        react(engine, post, post)
    engine.drain()
    assert engine.loader.load([29])
    engine.reactions.counts(77)  # a cold post
    react(engine, 40, 5)
    engine.outbox.claim({6: "", 5: ""})
    outbox = ("pending", "claimed", "delta")
    for key in engine.client.scan_iter():
        name = key.decode()
        durable = name.startswith("outbox:") or name.endswith(outbox)
        assert (engine.client.pttl(key) == -1) == durable, name


def test_a_cold_count_is_read_once_and_cached(engine: Engine) -> None:
    react(engine, 5)
    engine.drain()
    engine.client.delete(keys.post_reaction_counts(POST))
    assert engine.reactions.counts(POST)["like"] == 5
    engine.database.close()
    with engine.database.engine.begin() as connection:
        connection.execute(text("UPDATE reaction_counts SET count = 0"))
    assert engine.reactions.counts(POST)["like"] == 5


def test_a_post_that_is_written_often_is_loaded_and_then_knows_everyone(engine: Engine) -> None:
    react(engine, 20)
    assert engine.persister.drain([SHARD]).loaded == 0
    engine.reactions.react(21, POST, "like")
    assert engine.persister.drain([SHARD]).loaded == 1
    assert engine.reactions.react(5, POST, "like").status == "unchanged"
    assert engine.reactions.react(5, POST, "love").previous == "like"
    assert engine.reactions.react(99, POST, "love").status == "created"
    assert engine.verify().holds


def test_a_post_that_is_read_is_loaded_when_it_is_next_written(engine: Engine) -> None:
    engine.reactions.counts(POST)
    react(engine, 3)
    assert engine.persister.drain([SHARD]).loaded == 1


def test_what_does_not_fit_a_batch_is_loaded_another_time(engine: Engine) -> None:
    engine = step(engine, 2, viral_threshold=10)
    for post in (POST, POST + 100):
        react(engine, 6, post)
    engine.drain()
    for post in (POST, POST + 100):
        engine.reactions.react(7, post, "like")
    assert engine.persister.drain([SHARD]).loaded == 1
    assert engine.verify().holds


def test_a_count_below_zero_is_not_shown(engine: Engine) -> None:
    engine.client.hset(keys.post_reaction_counts(POST), "1", -3)
    assert engine.reactions.counts(POST)["like"] == 0


def test_a_cold_count_without_a_database_is_a_clear_error(settings: Settings) -> None:
    nowhere = settings.model_copy(
        update={"database_url": Settings(database_url="postgresql://127.0.0.1:1/x").database_url}
    )
    with Reactions(nowhere) as client:
        with pytest.raises(ReactionsUnavailable, match="PostgreSQL") as error:
            client.counts(POST)
        assert error.value.store == "postgresql"
        client.react(1, POST, "like")  # the write path does not care

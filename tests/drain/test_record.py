"""``Recorder``: idempotent batches and refused rows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from reactions.core.model import Row
from reactions.drain.batch import Drained
from reactions.postgres.ledger import Recorded
from reactions.redis.keys import default_keys as keys
from tests.drain.support import POST, SHARD, react, step
from tests.support.engine import Engine


def test_a_batch_recorded_twice_changes_nothing_the_second_time(engine: Engine) -> None:
    react(engine, 20)
    (claim,), _ = engine.outbox.claim({SHARD: ""})
    first, second = Drained(), Drained()
    engine.persister.record([claim], first)
    engine.persister.record([claim], second)
    assert (first.changed, second.changed) == (20, 0)
    assert engine.queries.counts([POST])[POST] == {1: 20}


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


POISON = [
    ("code of no type", "7", "99:{version}"),
    ("code beyond smallint", "7", "70000:{version}"),
    ("negative code", "7", "-1:{version}"),
    ("user beyond bigint", str(2**63), "1:{version}"),
    ("user zero", "0", "1:{version}"),
    ("version zero", "7", "1:0"),
    ("version beyond bigint", "7", "1:99999999999999999999"),
    ("no version", "7", "1"),
    ("not a number", "7", "like:{version}"),
    ("no user", "nobody", "1:{version}"),
    ("a user with leading zeros", "007", "1:{version}"),
    ("empty", "7", ""),
    ("NUL", "7", "1:\0"),
]


@pytest.mark.parametrize(
    ("user", "value"), [case[1:] for case in POISON], ids=[c[0] for c in POISON]
)
def test_a_refused_row_delays_nothing_else(engine: Engine, user: str, value: str) -> None:
    """It alone becomes a dead letter, once. The counts of its post and of others are exact."""
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


def test_leases_are_extended_while_a_long_backlog_is_recorded(engine: Engine) -> None:
    """Otherwise another drain would claim the shards, and no drain would settle them."""
    for post in range(1, 41):
        react(engine, 5, post)
    step(engine, 5)
    claims, _ = engine.outbox.claim(dict.fromkeys(range(1, 41), ""))
    lapsing = [keys.outbox_lease(claim.shard) for claim in claims]
    engine.outbox.extend_leases(
        {claim.shard: claim.token for claim in claims}, 0.0
    )  # nearly expired
    engine.persister.record(claims, Drained())
    now = engine.client.time()
    for lease in lapsing:
        assert int(str(engine.client.get(lease)).split("|")[1]) > now[0] * 1_000_000 + now[1]

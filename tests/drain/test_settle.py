"""``Settler``: counts stay right when a drain dies or loses its lease."""

from __future__ import annotations

from reactions.drain.batch import Drained
from reactions.redis.keys import default_keys as keys
from tests.drain.support import POST, SHARD, react, step
from tests.support.engine import Engine


def test_a_drain_that_dies_before_it_settles_leaves_no_wrong_counts(engine: Engine) -> None:
    """Redis does not know the earlier reactions, so only a settlement corrects the counts."""
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


def test_a_stale_drain_can_neither_settle_nor_undo(engine: Engine) -> None:
    react(engine, 5)
    (stale,), _ = engine.outbox.claim({SHARD: ""})
    engine.client.delete(keys.outbox_lease(SHARD))  # as if its lease had lapsed
    engine.drain()
    engine.reactions.react(1, POST, "love")
    engine.drain()
    engine.reactions.react(2, POST, "wow")  # pending when the stale drain continues
    late = Drained()
    engine.persister.settle([stale], engine.persister.record([stale], late), late)
    assert (late.changed, late.lost) == (0, 1)
    assert engine.outbox_state.pending() == 1
    engine.drain()
    assert engine.queries.counts([POST])[POST] == {1: 3, 2: 1, 4: 1}
    assert engine.verify().holds

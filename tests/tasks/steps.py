"""What the tests of single tasks share: reactions, claims, and what a drain leaves."""

from __future__ import annotations

from reactions.core.constants import shard_of
from reactions.drain.batch import Drained
from reactions.redis.claims import Claim
from reactions.redis.keys import default_keys as keys
from tests.tasks.lane import Lane

POST, SHARD = 1042, 42


def react(lane: Lane, *users: int, post_id: int = POST) -> None:
    lane.engine.reactions.react_many((user, post_id, "like") for user in users)


def rows(lane: Lane, post_id: int = POST) -> dict[int, int]:
    return lane.engine.queries.reactions([post_id])[post_id]


def claim(lane: Lane, shard: int = SHARD) -> Claim:
    """Claim a shard, as another drain does before it writes."""
    (taken,), _ = lane.engine.outbox.claim({shard: ""})
    return taken


def finish(lane: Lane, held: Claim) -> Drained:
    """Record and settle a claim, as that drain does next."""
    done = Drained()
    lane.engine.persister.settle([held], lane.engine.persister.record([held], done), done)
    return done


def assert_drained(lane: Lane, *users: int) -> None:
    assert lane.engine.outbox_state.pending() == 0
    assert rows(lane) == dict.fromkeys(users, 1)
    assert lane.engine.queries.counts([POST])[POST] == {1: len(users)}
    assert lane.engine.verify().holds


def age(lane: Lane, post_id: int, seconds: float) -> None:
    """Make the pending changes of a post older."""
    dirty = keys.outbox_dirty(shard_of(post_id))
    lane.engine.client.zincrby(dirty, -seconds * 1e6, str(post_id))

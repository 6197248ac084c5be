"""Scripts of small marks in the outbox: erasures, clocks, epochs."""

from __future__ import annotations

from reactions.core.constants import shard_of
from reactions.redis import keys
from reactions.redis.pipeline import Call, Script

ADVANCE_ERASURE = Script("advance_erasure", keys=1, allow_oom=True)
RAISE_CLOCK = Script("raise_clock", keys=1)
WRITE_EPOCH = Script("write_epoch", keys=1)


def advance_erasure(user_id: int, step: str, following: str) -> Call:
    """Reply: 1, or 0 when it was asked for anew."""
    return ADVANCE_ERASURE.call(
        (keys.outbox_forgetting(shard_of(user_id)),), (user_id, step, following)
    )


def raise_clock(shard: int, version: int) -> Call:
    """Reply: 1."""
    return RAISE_CLOCK.call((keys.outbox_clock(shard),), (version,))


def write_epoch(shard: int, read: str, written: str) -> Call:
    """Reply: 1, or 0 when it is not what was read any more."""
    return WRITE_EPOCH.call((keys.outbox_epoch(shard),), (read, written))

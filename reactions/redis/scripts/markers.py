"""Scripts of small values in the outbox: the step of an erasure, the clock, the epoch."""

from __future__ import annotations

from reactions.core.constants import shard_of
from reactions.redis.keys import Keys
from reactions.redis.pipeline import Call, Script

ADVANCE_ERASURE = Script("advance_erasure", keys=1, allow_oom=True)
RAISE_CLOCK = Script("raise_clock", keys=1)
READ_CLOCK = Script("read_clock", keys=2)
SET_CLOCK_BACK = Script("set_clock_back", keys=3, include=("lease",), allow_oom=True)
WRITE_EPOCH = Script("write_epoch", keys=1)


def advance_erasure(keys: Keys, user_id: int, step: str, following: str) -> Call:
    """Move the erasure of a user from ``step`` to the ``following`` one, "" when it is finished.

    Reply: 1, or 0 when the erasure is at another step: it was requested again.
    """
    return ADVANCE_ERASURE.call(
        (keys.outbox_forgetting(shard_of(user_id)),), (user_id, step, following)
    )


def raise_clock(keys: Keys, shard: int, version: int) -> Call:
    """Make every later version of a shard higher than ``version``. Reply: 1."""
    return RAISE_CLOCK.call((keys.outbox_clock(shard),), (version,))


def read_clock(keys: Keys, shard: int) -> Call:
    """Read the version, the clock and the ages of a shard. Reply: see ``ClockReading``."""
    return READ_CLOCK.call((keys.outbox_clock(shard), keys.outbox_dirty(shard)), ())


def set_clock_back(keys: Keys, shard: int, newest: int, longest_us: int) -> Call:
    """Move what is pending in a shard from the future to now, and its clock, too.

    Args:
        newest: the changes move above this version (µs), the newest that PostgreSQL has.
        longest_us: a lease that ends later than this from now does not count.

    Reply: ``[0]`` when a drain has the shard, else ``[1, changes that moved]``.
    """
    return SET_CLOCK_BACK.call(
        (keys.outbox_dirty(shard), keys.outbox_lease(shard), keys.outbox_clock(shard)),
        (keys.post_prefix(shard), newest, longest_us),
    )


def write_epoch(keys: Keys, shard: int, read: str, written: str) -> Call:
    """Replace the epoch that the caller has read. Reply: 1, or 0 when the epoch is another one."""
    return WRITE_EPOCH.call((keys.outbox_epoch(shard),), (read, written))

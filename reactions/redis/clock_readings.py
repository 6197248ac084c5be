"""What the clocks of the shards say, and what follows from it for changes that are not durable."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from reactions.core.shard_times import NO_TIMES, ROUNDED_US, ShardTimes
from reactions.redis.claims import version_of


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One shard: all in µs since 1970, by the clock of its server."""

    version: int
    """The last version that was given out; 0 when there is none."""
    now: int
    oldest: float
    """When the oldest change that is not durable came; infinite if the shard is clean."""
    newest: float
    """The same of the post that became dirty last; 0 if the shard is clean."""

    @classmethod
    def read(cls, reply: Sequence[bytes]) -> ClockReading:
        """Read a reply of ``read_clock``."""
        version, now, oldest, newest = reply
        return cls(version_of(version), int(now), float(oldest or math.inf), float(newest or 0))


class ClockReadings:
    """A reading of every shard."""

    def __init__(self, shards: Sequence[ClockReading]) -> None:
        self._shards = shards

    def ahead_us(self) -> dict[int, int]:
        """Return shard -> how far (µs) its versions are ahead of its clock, where they are."""
        ahead = {shard: it.version - it.now for shard, it in enumerate(self._shards)}
        return {shard: by for shard, by in ahead.items() if by > 0}

    def now_us(self, shards: Collection[int]) -> int:
        """Return the earliest time that the clocks of these shards show."""
        return min(self._shards[shard].now for shard in shards)

    def bounds(self) -> ShardTimes:
        """Return a version for each shard that none of its versions so far exceeds.

        Where versions are ahead of the clock, that is the last one; elsewhere it is now.
        """
        return ShardTimes.gather([max(it.version, it.now) for it in self._shards])

    def times(self) -> ShardTimes:
        """Return now for each shard; no times while a shard has a change from the future.

        Such a change came before the clock was set back. A drain makes it durable in seconds.
        """
        if any(it.newest > it.now for it in self._shards):
            return NO_TIMES
        return ShardTimes.gather([it.now for it in self._shards])

    def quiet_before(self, times: ShardTimes) -> bool:
        """Return whether every change from before these times is durable."""
        return all(it.oldest > times.of(shard) for shard, it in enumerate(self._shards))

    def before(self, times: ShardTimes) -> bool:
        """Return whether a shard's clock says less than its time: it was set back since."""
        return any(it.now + ROUNDED_US < times.of(s) for s, it in enumerate(self._shards))

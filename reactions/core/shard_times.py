"""A time for each shard: its versions, or what the clock of its server said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ROUNDED_US = 100_000
"""How far (µs) the time of a shard may be rounded up, so that most shards share one."""


@dataclass(frozen=True, slots=True)
class ShardTimes:
    """A time (µs since 1970) for each of the shards.

    Most shards share one time, so it takes few bytes. It is false when it has no times.

    Attributes:
        lowest: the time of every shard that ``ahead`` does not name; 0 for no times.
        ahead: shard -> its time, for the shards that are ahead of the others.
    """

    lowest: int = 0
    ahead: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def gather(cls, times: Sequence[int]) -> ShardTimes:
        """Take the time of each shard, in the order of the shards.

        Each is rounded up, by less than ``ROUNDED_US``, where that saves bytes.
        """
        lowest = max(time for time in times if time < min(times) + ROUNDED_US)
        return cls(lowest, {shard: time for shard, time in enumerate(times) if time > lowest})

    @classmethod
    def read(cls, written: str) -> ShardTimes:
        """Read what ``str()`` wrote, such as ``1700000000000000+42:1700003600000000``."""
        lowest, *ahead = written.split("+")
        pairs = (pair.partition(":") for pair in ahead)
        return cls(int(lowest or 0), {int(shard): int(time) for shard, _, time in pairs})

    def __str__(self) -> str:
        ahead = (f"{shard}:{time}" for shard, time in sorted(self.ahead.items()))
        return "+".join((str(self.lowest), *ahead))

    def __bool__(self) -> bool:
        return self.lowest > 0

    def of(self, shard: int) -> int:
        """Return the time of a shard, in µs since 1970."""
        return self.ahead.get(shard, self.lowest)

    @property
    def highest(self) -> int:
        """The latest of all, in µs since 1970."""
        return max(self.lowest, *self.ahead.values(), 0)


NO_TIMES = ShardTimes()

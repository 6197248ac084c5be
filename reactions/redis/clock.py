"""The clock of Redis, and the versions that its shards give out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from reactions.core.constants import SHARDS
from reactions.core.settings import Settings
from reactions.core.shard_times import ShardTimes
from reactions.redis.clock_readings import ClockReading, ClockReadings
from reactions.redis.connection import Client, translated
from reactions.redis.keys import keys_of
from reactions.redis.pipeline import run_all
from reactions.redis.scripts import markers


class Clock:
    """Reads the clock of Redis. A version is a time on this clock, in µs since 1970.

    Every method raises ReactionsUnavailable when Redis cannot serve.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)
        self._cluster = settings.redis_cluster
        self._longest_us = int(max(settings.lease_s, settings.retry_cap_s) * 1e6)

    def now_us(self) -> float:
        """Return the µs since 1970. One round trip.

        The nodes of a cluster have several clocks; there, this process's clock answers.
        """
        with translated():
            if self._cluster:
                return time.time() * 1e6
            seconds, micros = self._client.time()
        return float(seconds * 1_000_000 + micros)

    def readings(self) -> ClockReadings:
        """Read every shard's version and the clock of its own server. One round trip a node."""
        replies = run_all(
            self._client, [markers.read_clock(self._keys, shard) for shard in range(SHARDS)]
        )
        return ClockReadings([ClockReading.read(reply) for reply in replies])

    def bound_versions(self) -> ShardTimes:
        """Return a version for each shard that no version so far exceeds, and every later one does.

        A shard whose versions are ahead of its clock sets no other shard ahead. Two round trips for
        each node.
        """
        bounds = self.readings().bounds()
        self.raise_clocks({shard: bounds.of(shard) for shard in range(SHARDS)})
        return bounds

    def raise_clocks(self, versions: Mapping[int, int]) -> None:
        """Make shards give out only versions above these. One round trip for each node.

        Args:
            versions: shard -> version (µs).
        """
        calls = [
            markers.raise_clock(self._keys, shard, version) for shard, version in versions.items()
        ]
        run_all(self._client, calls)

    def set_back(self, shards: Sequence[int], newest: int) -> int | None:
        """Move pending changes from the future to now, and the clocks of their shards, too.

        One round trip for each node. Safe to repeat.

        Args:
            newest: the changes move above this version (µs), the newest that PostgreSQL has.

        Returns:
            How many changes moved; None if a drain has one of the shards, which stays as it is.
        """
        calls = [markers.set_clock_back(self._keys, s, newest, self._longest_us) for s in shards]
        replies = run_all(self._client, calls)
        return sum(reply[1] for reply in replies) if all(r[0] for r in replies) else None

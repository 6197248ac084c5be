"""The clock of Redis, and the versions that its shards give out."""

from __future__ import annotations

import time
from collections.abc import Mapping

from reactions.core.constants import SHARDS
from reactions.core.settings import Settings
from reactions.redis import keys
from reactions.redis.claims import version_of
from reactions.redis.command_batch import CommandBatch
from reactions.redis.connection import Client, translated
from reactions.redis.pipeline import run_all
from reactions.redis.scripts import markers


class Clock:
    """Reads the clock of Redis. A version is a time on this clock, in µs since 1970.

    Every method raises ReactionsUnavailable when Redis cannot serve.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._cluster = settings.redis_cluster

    def now_us(self) -> float:
        """Return the µs since 1970. One round trip.

        The nodes of a cluster have several clocks; there, this process's clock answers.
        """
        with translated():
            if self._cluster:
                return time.time() * 1e6
            seconds, micros = self._client.time()
        return float(seconds * 1_000_000 + micros)

    def newest_version(self) -> int:
        """Return a version that no recorded change exceeds. One round trip for each node."""
        with translated(), CommandBatch(self._client) as pipe:
            for shard in range(SHARDS):
                pipe.get(keys.outbox_clock(shard))
            # If the server's clock is set back, the versions are ahead of it.
            return max(int(self.now_us()), *(version_of(clock) for clock in pipe.execute()))

    def ahead_us(self) -> dict[int, int]:
        """Return shard -> how far (µs) its versions are ahead of the clock, for those that are.

        They are ahead after the clock was set back. One round trip for each node.
        """
        with translated(), CommandBatch(self._client) as pipe:
            for shard in range(SHARDS):
                pipe.get(keys.outbox_clock(shard))
            clocks = pipe.execute()
        now = int(self.now_us())
        ahead = {shard: version_of(clock) - now for shard, clock in enumerate(clocks)}
        return {shard: by for shard, by in ahead.items() if by > 0}

    def raise_clocks(self, versions: Mapping[int, int]) -> None:
        """Make shards give out only versions above these. One round trip for each node.

        Args:
            versions: shard -> version (µs).
        """
        calls = [markers.raise_clock(shard, version) for shard, version in versions.items()]
        run_all(self._client, calls)

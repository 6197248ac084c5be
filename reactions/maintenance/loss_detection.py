"""The duty `loss_detection`: notices that a store lost data, and makes it safe to go on.

Reads and writes continue during a recovery, because every cache is loaded under the fence. A loss
of Redis costs only the reactions that Redis held and PostgreSQL did not have yet. A loss of
PostgreSQL costs what it had committed and lost; what is still pending in Redis becomes durable.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta

from reactions.core.settings import Settings
from reactions.maintenance.epochs import (
    Epochs,
    Loss,
    RebuildPass,
    RedisEpoch,
    following,
    loss,
)
from reactions.maintenance.recovery import Recovery
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import WORKING_SET_US, DutyRuns, Run
from reactions.redis.clock import Clock
from reactions.redis.committed import Committed
from reactions.redis.connection import Client
from reactions.redis.quarantine import Quarantine

LEASE = timedelta(seconds=15)
"""The lease of a worker that stops reporting ends after this time."""


class LossDetection:
    """Compares the epochs of both stores."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._epochs = Epochs(client, database, settings)
        self._clock = Clock(client, settings)
        self._recovery = Recovery(client, database, settings)
        self._committed = Committed(client, settings)
        self._quarantine = Quarantine(client, settings)
        self._duties = DutyRuns(database)

    def run(self) -> Run | None:
        """Compare the epochs, recover the shards that lost data, and write the next epochs.

        The run repairs what would be wrong. It asks the duty `rebuild` to load the caches again.

        Returns:
            The record of the run; None when nothing was lost, or another worker runs this duty.
        """
        with self._duties.run("loss_detection", LEASE, quiet=True) as run:
            if run is None:
                return None
            run.detail += self._quarantine.isolate_wrong_types()
            read, in_database = self._epochs.in_redis(), self._epochs.in_database()
            epochs = {shard: RedisEpoch.read(written) for shard, written in read.items()}
            losses = {
                shard: what
                for shard, epoch in epochs.items()
                if (what := loss(epoch, in_database.get(shard))) is not Loss.NONE
            }
            run.looked_at = len(read)
            if losses:
                self._committed.forget(losses)
                read |= self._write_first([shard for shard in losses if not read[shard]])
                self._recovery.recover(losses, epochs, run)
            # Last: when this worker dies before here, the next run recovers again.
            self._write_next(losses, read, epochs, in_database)
            return run if run.found else None

    def _write_first(self, shards: Sequence[int]) -> dict[int, str]:
        """Write an epoch with tick 0 to empty shards.

        It still counts as a loss, so a second loss during the recovery is noticed.
        """
        first = dict.fromkeys(shards, RedisEpoch(secrets.token_hex(8), 0))
        ours = self._epochs.replace(dict.fromkeys(shards, ""), first)
        return {shard: str(first[shard]) for shard in ours}

    def _write_next(
        self,
        losses: Mapping[int, Loss],
        read: Mapping[int, str],
        epochs: Mapping[int, RedisEpoch | None],
        in_database: Mapping[int, RedisEpoch],
    ) -> None:
        """Add one tick, or begin a new incarnation after a loss.

        When the epoch of a shard changed since it was read, the next run handles that shard.
        """
        now = int(self._clock.now_us())
        new = RedisEpoch(secrets.token_hex(8), 0)
        unknown = [shard for shard in epochs if shard not in in_database]
        if unknown:  # rows first: they also hold the progress of the rebuild
            self._epochs.note(dict.fromkeys(unknown, new))
            in_database = self._epochs.in_database()
        next_epochs = {}
        for shard, before in epochs.items():
            if before and shard not in losses:
                next_epochs[shard] = following(before, in_database[shard], now)
            else:
                place = in_database[shard].place
                next_epochs[shard] = RedisEpoch(new.incarnation, 1, now, place)
        if losses:
            working_set = RebuildPass.begin(now, now - WORKING_SET_US)
            self._epochs.set_rebuild(list(losses), working_set)
        written = self._epochs.replace(read, next_epochs)
        transaction = self._epochs.note({shard: next_epochs[shard] for shard in written})
        if transaction:
            self._committed.note_missing(transaction)

"""The duty `cleanup`: deletes old records of runs, and tombstones that no late change can need."""

from __future__ import annotations

import time

from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import DutyRuns, Run
from reactions.postgres.erasure import Erasures
from reactions.redis.clock import Clock
from reactions.redis.connection import Client
from reactions.redis.outbox_state import OutboxState

BUDGET_S = 5.0
"""How long one run works. The next run deletes the rest."""

RECORDS_DAYS = 30
"""Age at which the record of a run is deleted."""


class Cleanup:
    """Deletes what nobody needs any more."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._outbox_state = OutboxState(client, settings)
        self._clock = Clock(client, settings)
        self._erasures = Erasures(database)
        self._duties = DutyRuns(database)
        self._batch = settings.batch_rows
        self._tombstones_us = settings.tombstone_days * 86_400_000_000

    def run(self, budget_s: float = BUDGET_S) -> Run | None:
        """Delete records older than 30 days, and tombstones older than ``tombstone_days``.

        While a change from before that time is pending, no tombstone is deleted: the change may be
        older than a tombstone, and would then bring the removed reaction back.

        Returns:
            The record of the run; None when another worker runs this duty.
        """
        deadline = time.monotonic() + budget_s
        with self._duties.run("cleanup") as run:
            if run is None:
                return None
            records = self._duties.prune(RECORDS_DAYS)
            before = int(self._clock.now_us()) - self._tombstones_us
            tombstones = 0
            if self._outbox_state.quiet_before(before):
                while erased := self._erasures.erase_tombstones(before, self._batch):
                    tombstones += erased
                    if time.monotonic() > deadline:
                        break
            run.looked_at = run.repaired = records + tombstones
            run.detail.append(f"{records} records and {tombstones} tombstones deleted")
            return run

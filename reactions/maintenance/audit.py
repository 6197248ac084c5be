"""The duty `audit`: compares the counts table with the rows of all posts, one slice at a time."""

from __future__ import annotations

import time

from reactions.core.settings import Settings
from reactions.maintenance.checker import SLICE, PostChecker
from reactions.maintenance.compare import Kind
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import DutyRuns, Run
from reactions.postgres.posts import Posts
from reactions.postgres.row_counts import RowCounts
from reactions.redis.connection import Client

DUTY = "audit"

CHUNK = 100
"""Posts that one query selects."""

BUDGET_S = 5.0
"""How long one run works. The next run continues where this one stopped."""


class CountAudit:
    """Counts the rows of every post, and corrects the counts table."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._checker = PostChecker(client, database, settings)
        self._posts = Posts(database)
        self._row_counts = RowCounts(database)
        self._duties = DutyRuns(database)

    def run(self, budget_s: float = BUDGET_S) -> Run | None:
        """Continue the audit where the last run stopped. After the last post, start again.

        Returns:
            The record of the run; None when another worker runs this duty.
        """
        deadline = time.monotonic() + budget_s
        with self._duties.run(DUTY) as run:
            if run is not None:
                self._audit(deadline, run)
            return run

    def _audit(self, deadline: float, run: Run) -> None:
        for post_id in self._row_counts.unfinished():
            if not self._audit_post(post_id, deadline, run):
                return
        position = self._duties.position(DUTY)
        while True:
            sizes = self._posts.sizes(position, CHUNK)
            if not sizes:
                self._duties.set_position(DUTY, 0)
                return
            large = [post_id for post_id, rows in sizes.items() if rows > SLICE]
            small = [post_id for post_id in sizes if post_id not in large]
            run.looked_at += sum(sizes[post_id] for post_id in small)
            for post_id in sorted([*self._row_counts.suspects(small, SLICE), *large]):
                if not self._audit_post(post_id, deadline, run):
                    self._duties.set_position(DUTY, post_id)  # the next run finishes it first
                    return
            position = max(sizes)
            self._duties.set_position(DUTY, position)
            if time.monotonic() > deadline:
                return

    def _audit_post(self, post_id: int, deadline: float, run: Run) -> bool:
        """Audit one post. False when time is up: the next run continues there."""
        while True:
            audited = self._row_counts.slice(post_id, SLICE, repair=True)
            run.looked_at += audited.looked_at
            if audited.finished:
                break
            if time.monotonic() > deadline:
                return False
        if audited.differences:
            run.found[Kind.LEDGER] += len(audited.differences)
            run.repaired += len(audited.differences)
            run.detail += [
                f"post {post_id}: {rows} rows of type {code}, the counts table had {counted}"
                for code, (rows, counted) in audited.differences.items()
            ]
            self._checker.reload(post_id)
        return time.monotonic() < deadline

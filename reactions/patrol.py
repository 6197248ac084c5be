"""The periodic duties, Celery-free: bounded in time and rows, recorded, safe to run twice."""

from __future__ import annotations

import time

from reactions.audits import Audits
from reactions.client import Client
from reactions.compare import Kind
from reactions.database import Database
from reactions.duties import Duties, Run
from reactions.ledger import Ledger
from reactions.model import PostTier
from reactions.outbox import Outbox
from reactions.queries import Queries
from reactions.reconcile import SLICE, Reconciler
from reactions.settings import Settings

CHUNK = 100
"""Posts compared together."""

BUDGET_S = 20.0
"""How long one run of a duty works; what is left is found by the next."""

RECORDS_DAYS = 30
"""How long records of runs are kept."""

HOT_US = 600_000_000
"""How long after its last change a hot post is a regular one again: ten minutes."""


class Patrol:
    """Goes its rounds."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._reconciler = Reconciler(client, database, settings)
        self._outbox = Outbox(client, settings)
        self._queries = Queries(database)
        self._ledger = Ledger(database)
        self._audits = Audits(database)
        self._duties = Duties(database)

    def reconcile(self, tier: PostTier, budget_s: float = BUDGET_S) -> Run | None:
        """Compare the posts of a tier that were touched since they were last compared; repair.

        None when another worker is at it.
        """
        deadline = time.monotonic() + budget_s
        with self._duties.run(f"reconcile-{tier.name.lower()}") as run:
            if run is None:
                return None
            now = int(self._outbox.now_us())
            if tier is PostTier.HOT:
                self._ledger.cool(now - HOT_US, CHUNK)
            undecided: set[int] = set()
            while time.monotonic() < deadline:
                posts = self._queries.to_check([tier], now, CHUNK + len(undecided))
                posts = [post_id for post_id in posts if post_id not in undecided][:CHUNK]
                if not posts:
                    break
                checked = self._reconciler.check(posts)
                undecided.update(set(posts) - checked.decided.keys())
                run.looked_at += len(checked.decided)
                run.found.update(difference.kind for difference in checked.differences)
                run.detail += map(str, checked.differences)
                run.repaired += self._reconciler.repair(checked.differences)
                self._ledger.note_checked(checked.decided, now)
            return run

    def audit(self, budget_s: float = BUDGET_S) -> Run | None:
        """Go on holding the counts table against the rows, where the last run was; repair."""
        deadline = time.monotonic() + budget_s
        with self._duties.run("audit") as run:
            if run is None:
                return None
            for post_id in self._audits.unfinished():
                if not self._audit_post(post_id, deadline, run):
                    return run
            position = self._duties.position("audit")
            while True:
                sizes = self._queries.sizes(position, CHUNK)
                if not sizes:
                    self._duties.move("audit", 0)  # all the way round
                    break
                large = [post_id for post_id, rows in sizes.items() if rows > SLICE]
                small = [post_id for post_id in sizes if post_id not in large]
                run.looked_at += sum(sizes[post_id] for post_id in small)
                for post_id in sorted([*self._audits.suspects(small), *large]):
                    if not self._audit_post(post_id, deadline, run):
                        self._duties.move("audit", post_id)  # one that is unfinished goes first
                        return run
                position = max(sizes)
                self._duties.move("audit", position)
                if time.monotonic() > deadline:
                    break
            return run

    def _audit_post(self, post_id: int, deadline: float, run: Run) -> bool:
        """False when time is up; the next run goes on there."""
        while True:
            audited = self._audits.slice(post_id, SLICE, repair=True)
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
            self._reconciler.reload(post_id)
        return time.monotonic() < deadline

    def tidy(self) -> Run | None:
        """Housekeeping: old records of runs."""
        with self._duties.run("tidy") as run:
            if run is not None:
                run.repaired = self._duties.prune(RECORDS_DAYS)
            return run

"""The periodic duties, Celery-free: bounded in time and rows, recorded, safe to run twice."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from reactions.core.constants import MAX_ID
from reactions.core.model import PostTier
from reactions.core.settings import Settings
from reactions.maintenance.checker import SLICE, PostChecker
from reactions.maintenance.compare import Difference, Kind
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import WORKING_SET_US, DutyRuns, Run
from reactions.postgres.erasure import Erasures
from reactions.postgres.posts import Posts
from reactions.postgres.row_counts import RowCounts
from reactions.redis.clock import Clock
from reactions.redis.connection import Client
from reactions.redis.outbox_state import OutboxState

CHUNK = 100
"""Posts compared together."""

BUDGET_S = 5.0
"""How long one run of a duty works; what is left is found by the next."""

RECORDS_DAYS = 30
"""How long records of runs are kept."""

SAMPLED = (PostTier.VIRAL, PostTier.RISING)
"""Tiers whose posts have a sample."""

COOLED = 1_000
"""Hot posts noted as regular by one statement."""

HOT_US = 600_000_000
"""How long after its last change a hot post is a regular one again: ten minutes."""


class Patrol:
    """Goes its rounds."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._checker = PostChecker(client, database, settings)
        self._outbox_state = OutboxState(client, settings)
        self._clock = Clock(client, settings)
        self._posts = Posts(database)
        self._row_counts = RowCounts(database)
        self._erasures = Erasures(database)
        self._duties = DutyRuns(database)
        self._batch = settings.batch_rows
        self._tombstones_us = settings.tombstone_days * 86_400_000_000

    def reconcile(self, tier: PostTier, budget_s: float = BUDGET_S) -> Run | None:
        """Compare the posts of a tier that were touched since they were last compared; repair.

        Walks from those touched last back; the next run goes on where time was up. With the viral
        posts go those on their way. None when another worker is at it.
        """
        deadline = time.monotonic() + budget_s
        duty = f"reconcile-{tier.name.lower()}"
        with self._duties.run(duty) as run:
            if run is None:
                return None
            now = int(self._clock.now_us())
            while tier is PostTier.HOT and self._posts.cool(now - HOT_US, COOLED):
                pass
            tiers = SAMPLED if tier is PostTier.VIRAL else [tier]
            # The version of a change may be ahead of the clock.
            position = self._duties.position(duty) or MAX_ID
            while posts := self._posts.to_check(tiers, now, position, CHUNK):
                for portion in self._checker.portions([post.post_id for post in posts]):
                    self._reconcile(portion, {post.post_id: post.tier for post in posts}, run, now)
                position = posts[-1].touched
                if time.monotonic() > deadline:
                    break
            self._duties.move(duty, position if posts else 0)
            return run

    def _reconcile(
        self, posts: Sequence[int], noted: Mapping[int, int], run: Run, now: int
    ) -> None:
        """Compare some, repair them, and note their tier where a drain could not."""
        checked = self._checker.check(posts, yields=True)
        run.looked_at += len(checked.decided)
        run.found.update(difference.kind for difference in checked.differences)
        run.detail += map(str, checked.differences)
        run.repaired += self._checker.repair(checked.differences)
        tiers = {post: self._checker.tier(post, checked) for post in checked.decided}
        wrong = {
            post: tier
            for post, tier in tiers.items()
            if tier != noted[post] and (tier, noted[post]) != (PostTier.REGULAR, PostTier.HOT)
        }
        if wrong:
            self._posts.note_tiers(wrong, now)
        self._posts.note_checked(checked.decided, now)

    def audit(self, budget_s: float = BUDGET_S) -> Run | None:
        """Go on holding the counts table against the rows, where the last run was; repair."""
        deadline = time.monotonic() + budget_s
        with self._duties.run("audit") as run:
            if run is None:
                return None
            for post_id in self._row_counts.unfinished():
                if not self._audit_post(post_id, deadline, run):
                    return run
            position = self._duties.position("audit")
            while True:
                sizes = self._posts.sizes(position, CHUNK)
                if not sizes:
                    self._duties.move("audit", 0)  # all the way round
                    break
                large = [post_id for post_id, rows in sizes.items() if rows > SLICE]
                small = [post_id for post_id in sizes if post_id not in large]
                run.looked_at += sum(sizes[post_id] for post_id in small)
                for post_id in sorted([*self._row_counts.suspects(small, SLICE), *large]):
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

    def refresh(self, budget_s: float = BUDGET_S) -> Run | None:
        """Load the samples of viral posts that are missing, short, out of order or too old.

        Walks over all of them, a while at a time; reconciliation sees only those touched lately.
        """
        deadline = time.monotonic() + budget_s
        with self._duties.run("refresh") as run:
            if run is None:
                return None
            position = self._duties.position("refresh")
            while True:
                since = int(self._clock.now_us()) - WORKING_SET_US
                posts = self._posts.in_tiers(SAMPLED, position, since, CHUNK)
                if posts:
                    self._refresh(posts, run)
                position = max(posts, default=0)
                self._duties.move("refresh", position)
                if not position or time.monotonic() > deadline:  # 0: all the way round
                    break
            return run

    def _refresh(self, posts: Sequence[int], run: Run) -> None:
        checked = self._checker.check(posts, yields=True)
        run.looked_at += len(checked.decided)
        lacking = [
            difference
            for difference in checked.differences
            if difference.kind in (Kind.SAMPLE, Kind.SHORT, Kind.UNFLAGGED)
        ]
        lacking += (
            Difference(Kind.MISSING, post_id, "no sample is cached")
            for post_id, snapshot in checked.snapshots.items()
            if not snapshot.sampled and not snapshot.complete
        )
        run.found.update(difference.kind for difference in lacking)
        run.detail += map(str, lacking)
        run.repaired += self._checker.repair(lacking)

    def tidy(self, budget_s: float = BUDGET_S) -> Run | None:
        """Housekeeping: old records of runs, and tombstones that no late change can need.

        Those are older than ``tombstone_days``, while nothing that came before then is pending.
        """
        deadline = time.monotonic() + budget_s
        with self._duties.run("tidy") as run:
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

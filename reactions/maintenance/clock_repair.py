"""Brings shards back whose versions are in the future, once the clock of Redis is right again.

Versions never fall, so after the clock was set back, a shard goes on from the last version it gave:
every new reaction has a time in the future. Here, everything of such a shard that is in the future
moves to now, in the same order: rows, dead letters, and what is pending. Then its clock follows.

PostgreSQL comes first. Until the clock of a shard is set back, new versions are above the old ones,
so the process may die at any step, and a second run does the rest. Drains must not run meanwhile:
one that writes a version in the future after the rows have moved would make PostgreSQL refuse later
changes of the same users.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reactions.core.constants import SHARDS
from reactions.core.errors import ReactionsError
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.posts import Posts
from reactions.postgres.version_moves import VersionMoves
from reactions.redis.clock import Clock
from reactions.redis.clock_readings import ClockReadings
from reactions.redis.connection import Client
from reactions.redis.erasure_requests import ErasureRequests
from reactions.redis.outbox_state import OutboxState

AHEAD_US = 1_000_000
"""A shard is repaired when its versions are ahead of its clock by more than this (µs)."""

MAX_OFF_S = 5.0
"""How far (s) the clock of Redis may be from this host's: otherwise it is not right yet."""

PAGE = 1_000
"""Rows, and posts, that one transaction moves."""


class ClockRepairError(ReactionsError):
    """The repair did not begin, or stopped. What it moved so far is consistent: run it again."""


@dataclass(slots=True)
class Repaired:
    """What a repair did.

    Attributes:
        shards: shards whose clock was set back.
        rows: rows of PostgreSQL that moved to now.
        pending: changes that moved in Redis, at most in one go.
    """

    shards: int = 0
    rows: int = 0
    pending: int = 0


class ClockRepair:
    """Moves versions in the future to now. Run it while no worker and no beat runs."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._clock = Clock(client, settings)
        self._outbox_state = OutboxState(client, settings)
        self._requests = ErasureRequests(client, settings)
        self._posts = Posts(database)
        self._database = database
        self._lease_s = max(settings.lease_s, settings.retry_cap_s)

    def ahead_us(self) -> dict[int, int]:
        """Return shard -> how far (µs) its versions are ahead of its clock; those to repair.

        These are the versions that it gave out last, and those that PostgreSQL has.
        """
        readings = self._clock.readings()
        ahead = readings.ahead_us()
        now = readings.now_us(range(SHARDS))
        for shard, touched in self._posts.newest_touched(now + AHEAD_US).items():
            ahead[shard] = max(ahead.get(shard, 0), touched - readings.now_us([shard]))
        return {shard: by for shard, by in ahead.items() if by > AHEAD_US}

    def repair(
        self, progress: Callable[[int], None] = lambda _: None, *, force: bool = False
    ) -> Repaired:
        """Repair every shard that is ahead. Users read and react meanwhile.

        Args:
            progress: called after each page with the number of rows moved.
            force: do not look for connections of workers; a pooler may keep some after their end.

        Raises:
            ClockRepairError: a clock is not right yet, or a worker runs.
            ReactionsUnavailable: a store failed. Run it again.
        """
        done = Repaired()
        shards = sorted(self.ahead_us())
        if not shards:
            return done
        moves = VersionMoves(self._database, shards)
        if not force and (workers := moves.workers()):
            raise ClockRepairError(
                f"{workers} connections of workers are open in PostgreSQL: stop the workers and"
                " beat, or, if only a pooler keeps these, use --force"
            )
        if any(state.leased for state in self._outbox_state.states() if state.shard in shards):
            raise self._draining()
        rows = -1
        while rows < done.rows:  # again: a worker that runs after all may have added to it
            rows = done.rows
            self._move(moves, shards, done, progress)
        done.shards = len(shards)
        return done

    def _move(
        self,
        moves: VersionMoves,
        shards: Sequence[int],
        done: Repaired,
        progress: Callable[[int], None],
    ) -> None:
        """Move everything that is in the future now."""
        since = self._now(self._clock.readings(), shards)
        moves.move_older_letters(since)
        page = moves.move_rows(since, since, PAGE)
        while page.rows:
            done.rows += page.rows
            progress(done.rows)
            page = moves.move_rows(page.seen, page.given, PAGE)
        newest = page.given + moves.move_newest_letters(since, page.given)
        while moves.lower_posts(newest, PAGE):
            pass
        # The bounds of erasures are in the future, too.
        moves.lower_forgotten(since)
        self._requests.start_over()
        moved = self._clock.set_back(shards, newest)
        if moved is None:
            raise self._draining()
        done.pending = max(done.pending, moved)

    def _draining(self) -> ClockRepairError:
        return ClockRepairError(
            "a worker is draining: stop the workers and beat, wait until its lease ends (within"
            f" {self._lease_s:g} s), and run this again"
        )

    def _now(self, readings: ClockReadings, shards: Sequence[int]) -> int:
        """Return the time by the clock of Redis, if it is right."""
        now = readings.now_us(shards)
        off = now / 1e6 - time.time()
        if abs(off) > MAX_OFF_S:
            raise ClockRepairError(
                f"the clock of Redis is {off:+,.0f} s off this host's: run an NTP client on both"
                " hosts, and run this again when the clocks agree"
            )
        return now

"""The duties of Beat in PostgreSQL: a lease and a position for each, records of runs, totals."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta

from sqlalchemy import Connection, case, delete, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on, insert

from reactions.core.tracing import span
from reactions.postgres.database import Database
from reactions.postgres.tables import duties, findings, runs

MAX_DETAILS = 10
"""Most differences that a record describes in words."""

WORKING_SET_US = 24 * 3600 * 1_000_000
"""Posts touched within this time (µs) should be in the cache: the TTL of a cache key, one day."""

LEASE = timedelta(seconds=90)
"""When the lease of a worker that stops reporting expires: several times the budget of a duty."""

_run, _duty, _found = runs.c, duties.c, findings.c


@dataclass(slots=True)
class Run:
    """One run of a duty, in progress.

    Attributes:
        looked_at: how many posts, rows or shards the duty has examined.
        found: kind of difference -> how many.
        repaired: how many of these differences were repaired.
        detail: some of the differences, in words.
    """

    looked_at: int = 0
    found: Counter[str] = field(default_factory=Counter)
    repaired: int = 0
    detail: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Record:
    """The record of one run of a duty, from the database."""

    duty: str
    started_at: datetime
    ended_at: datetime | None
    looked_at: int
    found: int
    repaired: int
    detail: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Total:
    """Totals over all runs of a duty, including those whose records were pruned.

    Attributes:
        runs: successful runs.
        failures: failed runs. A run whose worker died counts as neither.
        succeeded_at: the end of the last successful run.
        seconds: the duration of all successful runs.
        kinds: kind of difference -> how many were found.
    """

    duty: str
    runs: int
    failures: int
    succeeded_at: datetime | None
    looked_at: int
    repaired: int
    seconds: float
    kinds: dict[str, int] = field(default_factory=dict)


class DutyRuns:
    """Records runs, and lets one worker at a time run a duty."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def run(
        self, duty: str, lease: timedelta = LEASE, *, quiet: bool = False
    ) -> Iterator[Run | None]:
        """Run a duty in the block; None when another worker holds its lease.

        When a worker outlives its lease, another one may run the duty at the same time. Every duty
        must therefore be safe to run twice.

        Args:
            lease: how long the duty belongs to this worker if it stops reporting.
            quiet: keep a record only of a run that found something, or failed.

        Raises:
            ReactionsUnavailable: PostgreSQL cannot be reached; the duty did not start, or its
                record could not be written.
        """
        owner = secrets.token_hex(8)
        run, began, error = Run(), time.monotonic(), None
        with self._database.transaction() as connection:
            if not _take(connection, duty, owner, lease):
                number, ours = None, False
            else:
                number, ours = None if quiet else _begin(connection, duty), True
        if not ours:
            yield None
            return
        try:
            with span(f"reactions.duty {duty}") as at:
                yield run
                at.note(looked_at=run.looked_at, found=run.found.total(), repaired=run.repaired)
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"[:500]
            raise
        finally:
            with self._database.transaction() as connection:
                if number is None and (run.found or error):
                    number = _begin(connection, duty)
                if number is not None:
                    _end(connection, number, run, error)
                _count(connection, duty, owner, run, time.monotonic() - began, error is None)

    def last(self) -> dict[str, Record]:
        """Return duty -> its newest successful run. One query."""
        newest = (
            select(runs)
            .ext(distinct_on(_run.duty))
            .where(_run.ended_at.is_not(None), _run.error.is_(None))
            .order_by(_run.duty, _run.started_at.desc())
        )
        wanted = [runs.c[column.name] for column in fields(Record)]
        with self._database.transaction() as connection:
            found = connection.execute(newest.with_only_columns(*wanted))
            return {row.duty: Record(*row) for row in found}

    def totals(self) -> list[Total]:
        """Return the totals of every duty that ever ran, by name. Two queries."""
        wanted = [duties.c[column.name] for column in fields(Total)[:-1]]
        with self._database.transaction() as connection:
            kinds: dict[str, dict[str, int]] = {}
            for duty, kind, number in connection.execute(
                select(_found.duty, _found.kind, _found.found)
            ):
                kinds.setdefault(duty, {})[kind] = number
            found = connection.execute(select(*wanted).order_by(_duty.duty))
            return [Total(**row._mapping, kinds=kinds.get(row.duty, {})) for row in found]

    def position(self, duty: str) -> int:
        """Return where the next run of a duty continues its walk; 0 means at the beginning."""
        with self._database.transaction() as connection:
            return int(connection.scalar(select(_duty.position).where(_duty.duty == duty)) or 0)

    def set_position(self, duty: str, position: int) -> None:
        """Note where the next run of a duty continues its walk."""
        with self._database.transaction() as connection:
            connection.execute(duties.update().where(_duty.duty == duty).values(position=position))

    def prune(self, days: int) -> int:
        """Delete the records that are older than this many days; return how many."""
        old = _run.started_at < func.now() - timedelta(days=days)
        with self._database.transaction() as connection:
            return int(connection.execute(delete(runs).where(old)).rowcount)


def _take(connection: Connection, duty: str, owner: str, lease: timedelta) -> bool:
    """Take the lease of a duty; tell whether this worker has it.

    A lease that ends later than any new one is from before the clock was set back: it does not
    count. The time of this moment decides about that, not the one at which the transaction began:
    another worker may have taken the lease in between.
    """
    until = func.now() + lease
    mine = insert(duties).values(duty=duty, owner=owner, leased_until=until)
    taken = connection.execute(
        mine.on_conflict_do_update(
            index_elements=["duty"],
            set_={"owner": owner, "leased_until": until},
            where=or_(
                _duty.leased_until < func.now(),
                _duty.leased_until > func.clock_timestamp() + max(LEASE, lease),
            ),
        ).returning(_duty.duty)
    )
    return taken.first() is not None


def _begin(connection: Connection, duty: str) -> int:
    added = insert(runs).values(duty=duty).returning(_run.id)
    return int(connection.execute(added).scalar_one())


def _end(connection: Connection, number: int, run: Run, error: str | None) -> None:
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(run.found.items()))
    connection.execute(
        runs.update()
        .where(_run.id == number)
        .values(
            ended_at=func.now(),
            looked_at=run.looked_at,
            found=run.found.total(),
            repaired=run.repaired,
            detail="; ".join(filter(None, [kinds, *run.detail[:MAX_DETAILS]])),
            error=error,
        )
    )


def _count(
    connection: Connection, duty: str, owner: str, run: Run, seconds: float, ok: bool
) -> None:
    """Add a run to the totals, and release the lease."""
    connection.execute(
        duties.update()
        .where(_duty.duty == duty)
        .values(
            runs=_duty.runs + int(ok),
            failures=_duty.failures + int(not ok),
            succeeded_at=func.now() if ok else _duty.succeeded_at,
            looked_at=_duty.looked_at + run.looked_at,
            repaired=_duty.repaired + run.repaired,
            seconds=_duty.seconds + (seconds if ok else 0.0),
            leased_until=case((_duty.owner == owner, func.now()), else_=_duty.leased_until),
        )
    )
    if run.found:
        added = insert(findings).values(
            [
                {"duty": duty, "kind": str(kind), "found": number}
                for kind, number in sorted(run.found.items())
            ]
        )
        connection.execute(
            added.on_conflict_do_update(
                index_elements=["duty", "kind"],
                set_={"found": _found.found + added.excluded.found},
            )
        )

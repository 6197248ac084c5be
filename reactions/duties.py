"""What the duties of Beat leave behind: a record of each run, and where the next one goes on."""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import distinct_on, insert

from reactions.database import Database
from reactions.tables import positions, runs

log = logging.getLogger(__name__)

LOCK_CLASS = 0x5EAD
"""First key of the advisory locks of duties; the second is a checksum of the name."""

_run, _position = runs.c, positions.c


@dataclass(slots=True)
class Run:
    """One run of a duty, while it works.

    Attributes:
        looked_at: posts, rows or shards, whatever the duty looks at.
        found: differences by kind.
        repaired: of those.
    """

    looked_at: int = 0
    found: Counter[str] = field(default_factory=Counter)
    repaired: int = 0
    detail: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Record:
    """One run of a duty, from the database."""

    duty: str
    started_at: datetime
    ended_at: datetime | None
    looked_at: int
    found: int
    repaired: int
    detail: str
    error: str | None


class Duties:
    """Records runs, and keeps one of each duty at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def run(self, duty: str) -> Iterator[Run | None]:
        """A run of a duty; None when another worker is at it, so that there is nothing to do.

        The lock is on a connection of its own, so it ends with the worker that has it.
        """
        connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        key = {"class": LOCK_CLASS, "duty": zlib.crc32(duty.encode()) & 0x7FFFFFFF}
        with connection:
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:class, :duty)"), key):
                yield None
                return
            try:
                with self._recorded(duty) as run:
                    yield run
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:class, :duty)"), key)

    @contextmanager
    def _recorded(self, duty: str) -> Iterator[Run]:
        with self._database.transaction() as connection:
            added = insert(runs).values(duty=duty).returning(_run.id)
            number = connection.execute(added).scalar_one()
        run = Run()
        error: str | None = None
        try:
            yield run
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"[:500]
            raise
        finally:
            found = ", ".join(f"{kind} {count}" for kind, count in sorted(run.found.items()))
            with self._database.transaction() as connection:
                connection.execute(
                    runs.update()
                    .where(_run.id == number)
                    .values(
                        ended_at=func.now(),
                        looked_at=run.looked_at,
                        found=run.found.total(),
                        repaired=run.repaired,
                        detail="; ".join([found, *run.detail[:10]] if found else run.detail[:10]),
                        error=error,
                    )
                )

    def last(self) -> dict[str, Record]:
        """The newest successful run of each duty."""
        newest = (
            select(runs)
            .ext(distinct_on(_run.duty))
            .where(_run.ended_at.is_not(None), _run.error.is_(None))
            .order_by(_run.duty, _run.started_at.desc())
        )
        with self._database.transaction() as connection:
            return {row.duty: _record(row) for row in connection.execute(newest)}

    def position(self, duty: str) -> int:
        """Where a duty that walks over everything goes on; 0 at the beginning."""
        with self._database.transaction() as connection:
            return int(
                connection.scalar(select(_position.position).where(_position.duty == duty)) or 0
            )

    def move(self, duty: str, position: int) -> None:
        """Note where a duty goes on."""
        added = insert(positions).values(duty=duty, position=position)
        with self._database.transaction() as connection:
            connection.execute(
                added.on_conflict_do_update(
                    index_elements=["duty"], set_={"position": added.excluded.position}
                )
            )

    def prune(self, days: int) -> int:
        """Delete records older than this; how many."""
        old = _run.started_at < func.now() - text(f"interval '{int(days)} days'")
        with self._database.transaction() as connection:
            return int(connection.execute(delete(runs).where(old)).rowcount)


def _record(row: object) -> Record:
    values: Mapping[str, object] = row._mapping  # type: ignore[attr-defined]
    return Record(**{name: values[name] for name in Record.__slots__})  # type: ignore[arg-type]

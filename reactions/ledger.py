"""Every SQL statement, and the one place where PostgreSQL's errors become this library's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, create_engine, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from reactions import keys
from reactions.errors import ReactionsError, ReactionsUnavailable, TypesMismatch
from reactions.model import Row
from reactions.settings import Settings
from reactions.tables import dead_letters, reaction_counts, reaction_types
from reactions.tables import reactions as reactions_table

LOCK_CLASS = 0x5EAC
"""First key of the advisory locks; the second is the shard. Chosen to be nobody else's."""


class RowsRefused(ReactionsError):
    """The database refuses the data of at least one row; the transaction left no trace."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a transaction did."""

    counts: Mapping[int, Mapping[int, int]]
    """post -> type code -> count, after it, for every post it touched."""
    changed: int
    """Rows really changed; the others were older than what the table has."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database holds of one post, in one moment."""

    counts: Mapping[int, int]
    """The counts table: type code -> count."""
    tally: Mapping[int, int]
    """The rows, counted: type code -> rows."""
    rows: Mapping[int, int] | None
    """user -> type code; None for a post with more rows than were asked for."""


# One statement moves rows and counts together. Its parts see the table as it was before it, and
# the shard's lock, taken by an earlier statement, keeps that the truth until the commit.
RECORD = text("""
WITH incoming AS (
    SELECT * FROM unnest(
        CAST(:posts AS bigint[]), CAST(:users AS bigint[]),
        CAST(:codes AS smallint[]), CAST(:versions AS bigint[])
    ) AS t (post_id, user_id, reaction, version)
), before AS (
    SELECT post_id, user_id, old.reaction
    FROM incoming CROSS JOIN LATERAL (
        -- LIMIT keeps the planner from a hash join, which would read every partition.
        SELECT reaction FROM reactions AS r
        WHERE r.post_id = incoming.post_id AND r.user_id = incoming.user_id LIMIT 1
    ) AS old
), written AS (
    INSERT INTO reactions AS r (post_id, user_id, reaction, version)
    SELECT post_id, user_id, reaction, version FROM incoming
    ON CONFLICT (post_id, user_id)
    DO UPDATE SET reaction = excluded.reaction, version = excluded.version
    WHERE r.version < excluded.version
    RETURNING r.post_id, r.user_id, r.reaction
), moved AS (
    SELECT post_id, reaction, sum(step) AS step
    FROM (
        SELECT post_id, reaction, 1 AS step FROM written
        UNION ALL
        SELECT before.post_id, before.reaction, -1
        FROM before JOIN written USING (post_id, user_id)
    ) AS steps
    WHERE reaction <> 0
    GROUP BY post_id, reaction
    HAVING sum(step) <> 0
), counted AS (
    INSERT INTO reaction_counts AS c (post_id, reaction, count)
    SELECT post_id, reaction, step FROM moved ORDER BY post_id, reaction
    ON CONFLICT (post_id, reaction) DO UPDATE SET count = c.count + excluded.count
    RETURNING c.post_id, c.reaction, c.count
)
SELECT post_id, reaction, count FROM counted
UNION ALL
SELECT post_id, reaction, count FROM reaction_counts AS c
WHERE post_id = ANY (CAST(:touched AS bigint[]))
  AND NOT EXISTS (
    SELECT FROM counted WHERE counted.post_id = c.post_id AND counted.reaction = c.reaction
  )
UNION ALL
SELECT 0, 0, count(*) FROM written
""")

_LOCK = text(
    "SELECT pg_advisory_xact_lock(:class, shard) FROM unnest(CAST(:shards AS int[])) AS shard"
)


class Ledger:
    """PostgreSQL, on one pool of connections, which it opens when first needed.

    Not for use across a fork: make one for each process.
    """

    def __init__(self, settings: Settings, *, name: str = "reactions") -> None:
        timeout_ms = int(settings.database_timeout_s * 1000)
        self.engine: Engine = create_engine(
            settings.database_url.get_secret_value(),
            pool_pre_ping=True,
            pool_timeout=settings.database_timeout_s,
            hide_parameters=True,
            connect_args={
                # libpq takes whole seconds.
                "connect_timeout": max(1, math.ceil(settings.database_timeout_s)),
                "application_name": name,
                "options": f"-c statement_timeout={timeout_ms} -c lock_timeout={timeout_ms}",
            },
        )

    def close(self) -> None:
        """Close the connections of the pool."""
        self.engine.dispose()

    def record(self, rows: Sequence[Row]) -> Recorded:
        """Write a batch in one transaction: the newest version wins, counts move with the rows.

        At most once in effect: rows that the table has already, or has newer, change nothing.
        Two batches of one shard never overlap: a transaction-level advisory lock, taken in the
        order of the shards, so that there is no deadlock.

        Args:
            rows: at most one for each (post, user).

        Raises:
            RowsRefused: a row's data is refused; nothing was written.
            ReactionsUnavailable: the database cannot now; nothing was written, or it was and the
                answer was lost; the same batch again is safe.
        """
        rows = sorted(rows, key=lambda row: (row.post_id, row.user_id))
        touched = {row.post_id for row in rows}
        shards = sorted({keys.shard_of(post_id) for post_id in touched})
        with self._transaction() as connection:
            connection.execute(_LOCK, {"class": LOCK_CLASS, "shards": _array(shards)})
            found = connection.execute(
                RECORD,
                {
                    "posts": _array(row.post_id for row in rows),
                    "users": _array(row.user_id for row in rows),
                    "codes": _array(row.reaction for row in rows),
                    "versions": _array(row.version for row in rows),
                    "touched": _array(touched),
                },
            )
            counts: dict[int, dict[int, int]] = {post_id: {} for post_id in touched}
            changed = 0
            for post_id, code, count in found:
                if post_id:
                    counts[post_id][code] = count
                else:
                    changed = count
        return Recorded(counts, changed)

    def counts(self, post_ids: Iterable[int]) -> dict[int, dict[int, int]]:
        """post -> type code -> count from the counts table; one query."""
        wanted = set(post_ids)
        counts: dict[int, dict[int, int]] = {post_id: {} for post_id in wanted}
        table = reaction_counts.c
        with self._transaction() as connection:
            found = connection.execute(
                select(table.post_id, table.reaction, table.count).where(table.post_id.in_(wanted))
            )
            for post_id, code, count in found:
                counts[post_id][code] = count
        return counts

    def reactions(self, post_ids: Sequence[int]) -> dict[int, dict[int, int]]:
        """post -> user -> type code of what is not removed; one query over the posts' rows."""
        rows: dict[int, dict[int, int]] = {post_id: {} for post_id in post_ids}
        table = reactions_table.c
        with self._transaction() as connection:
            found = connection.execute(
                select(table.post_id, table.user_id, table.reaction).where(
                    table.post_id.in_(post_ids), table.reaction != 0
                )
            )
            for post_id, user_id, code in found:
                rows[post_id][user_id] = code
        return rows

    def stored(self, post_ids: Sequence[int], rows_up_to: int) -> dict[int, Stored]:
        """Counts, tally and rows of posts in one snapshot; three queries, for verification.

        Args:
            rows_up_to: rows are read only of posts with at most this many.
        """
        counts: dict[int, dict[int, int]] = {post_id: {} for post_id in post_ids}
        tally: dict[int, dict[int, int]] = {post_id: {} for post_id in post_ids}
        rows: dict[int, dict[int, int]] = {}
        counted, row = reaction_counts.c, reactions_table.c
        live = (row.post_id.in_(post_ids), row.reaction != 0)
        with self._transaction("REPEATABLE READ") as connection:
            for post_id, code, count in connection.execute(
                select(counted.post_id, counted.reaction, counted.count).where(
                    counted.post_id.in_(post_ids)
                )
            ):
                counts[post_id][code] = count
            for post_id, code, count in connection.execute(
                select(row.post_id, row.reaction, func.count())
                .where(*live)
                .group_by(row.post_id, row.reaction)
            ):
                tally[post_id][code] = count
            small = [p for p in post_ids if sum(tally[p].values()) <= rows_up_to]
            rows = {post_id: {} for post_id in small}
            for post_id, user_id, code in connection.execute(
                select(row.post_id, row.user_id, row.reaction).where(
                    row.post_id.in_(small), row.reaction != 0
                )
            ):
                rows[post_id][user_id] = code
        return {p: Stored(counts[p], tally[p], rows.get(p)) for p in post_ids}

    def posts(self, after: int, limit: int) -> list[int]:
        """The next posts, by id, that the rows or the counts know; for a walk over all of them."""
        rows, counts = reactions_table.c.post_id, reaction_counts.c.post_id
        both = (
            select(rows.label("post_id"))
            .where(rows > after)
            .distinct()
            .order_by(rows)
            .limit(limit)
            .subquery()
            .select()
            .union(
                select(counts)
                .where(counts > after)
                .distinct()
                .order_by(counts)
                .limit(limit)
                .subquery()
                .select()
            )
        ).subquery()
        with self._transaction() as connection:
            found = connection.scalars(select(both.c.post_id).order_by(both.c.post_id).limit(limit))
            return list(found)

    def bury(self, post: str, user: str, value: str, reason: str) -> None:
        """Keep a change that the database refuses, with the reason; once, however often told."""
        with self._transaction() as connection:
            connection.execute(
                insert(dead_letters)
                .values(post=_clean(post), user=_clean(user), value=_clean(value), reason=reason)
                .on_conflict_do_nothing()
            )

    def dead_letters(self) -> int:
        """How many changes are buried."""
        with self._transaction() as connection:
            return connection.execute(select(func.count()).select_from(dead_letters)).scalar_one()

    def register_types(self, types: Mapping[str, int]) -> None:
        """Make the configured reaction types known to the database.

        Raises:
            TypesMismatch: the database knows one of the codes or names as another.
        """
        with self._transaction() as connection:
            connection.execute(
                insert(reaction_types)
                .values([{"code": code, "name": name} for name, code in types.items()])
                .on_conflict_do_nothing()
            )
            table = reaction_types.c
            known = dict(connection.execute(select(table.name, table.code)).all())
        wrong = [f"{name}={code}" for name, code in types.items() if known.get(name) != code]
        if wrong:
            raise TypesMismatch(
                f"reaction_types has {', '.join(wrong)}, but the database has "
                f"{', '.join(f'{name}={code}' for name, code in sorted(known.items()))}; "
                "a code is in every row and keeps its name for ever"
            )

    @contextmanager
    def _transaction(self, isolation: IsolationLevel | None = None) -> Iterator[Connection]:
        engine = (
            self.engine.execution_options(isolation_level=isolation) if isolation else (self.engine)
        )
        try:
            with engine.begin() as connection:
                yield connection
        except (DataError, IntegrityError) as error:
            raise RowsRefused(_reason(error)) from error
        except SQLAlchemyError as error:
            raise ReactionsUnavailable(
                "postgresql", f"PostgreSQL cannot serve: {_reason(error)}"
            ) from error


def _array(numbers: Iterable[int]) -> str:
    """A PostgreSQL array literal: parsed once by the server, not one expression an element."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _reason(error: SQLAlchemyError) -> str:
    """The first line of the driver's own message: no statement, no parameters."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _clean(value: str) -> str:
    """Text that PostgreSQL can hold and index: it refuses NUL, and more than 2,700 bytes."""
    return value.replace("\0", "\\0")[:500]

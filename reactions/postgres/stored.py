"""What PostgreSQL stores of some posts, read in one snapshot, so that it can be compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from reactions.core.model import Row
from reactions.postgres.database import Database
from reactions.postgres.list_queries import read_newest
from reactions.postgres.queries import read_counts
from reactions.postgres.tables import reactions as reactions_table

_row = reactions_table.c


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database stores of one post at one moment.

    Attributes:
        counts: type code -> count, from the counts table. Type 0 counts the tombstones.
        tally: type code -> number of rows, counted; None when the post has too many rows.
        rows: user -> type code, without tombstones; None when the post has too many rows.
        newest: the newest rows, newest first; None when they were not read.
    """

    counts: Mapping[int, int]
    tally: Mapping[int, int] | None
    rows: Mapping[int, int] | None
    newest: Sequence[Row] | None


def read_stored(
    database: Database,
    post_ids: Sequence[int],
    max_rows: int,
    *,
    newest: int = 0,
    newest_from: int | None = None,
    newest_of: Collection[int] = (),
    max_tally: int | None = None,
) -> dict[int, Stored]:
    """Read the counts, the tally and the rows of posts in one snapshot.

    Costs three queries, and one more for each post whose newest rows are read.

    Args:
        max_rows: read the rows only of posts with at most this many.
        newest: how many of the newest rows to read.
        newest_from: read the newest rows of posts with at least this many rows.
        newest_of: read the newest rows of these posts as well, whatever their size.
        max_tally: count the rows only of posts with at most this many rows by the counts table;
            0 counts none, None counts the rows of every post.
    """
    rows: dict[int, dict[int, int]] = {}
    latest: dict[int, list[Row]] = {}
    with database.transaction("REPEATABLE READ") as connection:
        counts = read_counts(connection, set(post_ids), tombstones=True)
        tallied = [
            post_id
            for post_id in post_ids
            if max_tally is None or sum(counts[post_id].values()) <= max_tally
        ]
        tally = _tally(connection, tallied) if max_tally != 0 else {}
        for post_id in post_ids:
            known = tally.get(post_id, counts[post_id])
            live = sum(n for code, n in known.items() if code)
            if live <= max_rows:
                rows[post_id] = {}
            if post_id in newest_of or (newest_from is not None and live >= newest_from):
                latest[post_id] = read_newest(connection, post_id, known, newest)
        for post_id, user_id, code in connection.execute(
            select(_row.post_id, _row.user_id, _row.reaction).where(
                _row.post_id.in_(list(rows)), _row.reaction != 0
            )
        ):
            rows[post_id][user_id] = code
    return {p: Stored(counts[p], tally.get(p), rows.get(p), latest.get(p)) for p in post_ids}


def _tally(connection: Connection, post_ids: Sequence[int]) -> dict[int, dict[int, int]]:
    """Count the rows of these posts by type. Reads all of them."""
    tally: dict[int, dict[int, int]] = {post_id: {} for post_id in post_ids}
    for post_id, code, count in connection.execute(
        select(_row.post_id, _row.reaction, func.count())
        .where(_row.post_id.in_(post_ids))
        .group_by(_row.post_id, _row.reaction)
    ):
        tally[post_id][code] = count
    return tally

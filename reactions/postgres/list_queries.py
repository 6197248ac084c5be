"""The SQL of the lists: who reacted on a post, what a user reacted on, and how many ever did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Executable, exists, func, select, tuple_, union_all

from reactions.core.model import Row
from reactions.postgres.tables import deleted_posts, reaction_counts
from reactions.postgres.tables import reactions as reactions_table

Answer = TypeVar("Answer")

_row = reactions_table.c


class Reader(Protocol):
    """What runs a query: a `Database`, or one transaction of it."""

    def read(self, query: Callable[[Connection], Answer]) -> Answer:
        """Run a query, which is safe to repeat."""

    def execute_at_once(
        self, statements: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        """Send statements in one message, and return the rows of the last one."""


class ListQueries:
    """Reads the rows of lists. A method is one query."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def newest(
        self, post_id: int, codes: Iterable[int], *, limit: int, before: int | None = None
    ) -> list[Row]:
        """Return a post's newest reactions of these types, newest first.

        Args:
            before: read only rows with a smaller version.
        """
        return self._reader.read(
            lambda connection: read_newest(connection, post_id, codes, limit, before)
        )

    def history(
        self,
        user_id: int,
        codes: Iterable[int] | None = None,
        *,
        limit: int,
        before: tuple[int, int] | None = None,
    ) -> list[Row]:
        """Return a user's reactions, newest first, without those on deleted posts.

        Args:
            codes: read only these types; None means every type.
            before: the (version, post) of the last row of the previous page.
        """
        order = _row.version.desc(), _row.post_id.desc()
        wanted = [
            _row.user_id == user_id,
            _row.reaction != 0,
            ~exists().where(deleted_posts.c.post_id == _row.post_id),
        ]
        if codes is not None:
            wanted.append(_row.reaction.in_(list(codes)))
        if before is not None:
            # Only the first condition bounds the index scan.
            wanted += [
                _row.version <= before[0],
                tuple_(_row.version, _row.post_id) < tuple_(*before),
            ]
        found = self._reader.execute_at_once(
            select(_row.post_id, _row.user_id, _row.reaction, _row.version)
            .where(*wanted)
            .order_by(*order)
            .limit(limit)
        )
        return [Row(*row) for row in found]

    def count_ever(self, post_id: int) -> int:
        """Return how many users ever reacted to a post: the counts table includes tombstones."""
        table = reaction_counts.c
        ((total,),) = self._reader.execute_at_once(
            select(func.coalesce(func.sum(table.count), 0)).where(table.post_id == post_id)
        )
        return int(total)


def read_newest(
    connection: Connection,
    post_id: int,
    codes: Iterable[int],
    limit: int,
    before: int | None = None,
) -> list[Row]:
    """Return a post's newest rows: one bounded index scan for each type, merged by the server."""
    scans = []
    for code in codes:
        scan = select(_row.post_id, _row.user_id, _row.reaction, _row.version).where(
            _row.post_id == post_id, _row.reaction == code, _row.reaction != 0
        )
        if before is not None:
            scan = scan.where(_row.version < before)
        scans.append(scan.order_by(_row.version.desc()).limit(limit))
    if not scans:
        return []
    merged = union_all(*scans).subquery()
    found = connection.execute(select(merged).order_by(merged.c.version.desc()).limit(limit))
    return [Row(*row) for row in found]

"""What is read from PostgreSQL. Every query goes by a key or an index, whatever a post's size."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, exists, func, select, text, tuple_, union_all

from reactions.core.constants import SHARDS
from reactions.core.model import PostTier, Row
from reactions.postgres.database import Database, array
from reactions.postgres.tables import TOUCHED_EVERY_US, deleted_posts, reaction_counts
from reactions.postgres.tables import posts as posts_table
from reactions.postgres.tables import reactions as reactions_table

_row = reactions_table.c

ESTIMATED = 100_000
"""Posts from which on all of them together are not counted, but estimated."""

# LATERAL with LIMIT keeps the planner on the primary key, partition by partition.
OWN = text("""
SELECT wanted.post_id, found.reaction, 0 AS other
FROM unnest(CAST(:posts AS bigint[])) AS wanted (post_id) CROSS JOIN LATERAL (
    SELECT reaction FROM reactions AS r
    WHERE r.post_id = wanted.post_id AND r.user_id = :user LIMIT 1
) AS found
UNION ALL (
    SELECT post_id, reaction, 1 FROM reactions
    WHERE user_id = :user AND reaction <> 0 ORDER BY version DESC LIMIT :most
)
""")


class Touched(NamedTuple):
    """A post as ``posts`` notes it."""

    post_id: int
    touched: int
    tier: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database holds of one post, in one moment."""

    counts: Mapping[int, int]
    """The counts table: type code -> count; type 0 are those who took their reaction away."""
    tally: Mapping[int, int] | None
    """The rows, counted: type code -> rows; None for a post with more than were asked for."""
    rows: Mapping[int, int] | None
    """user -> type code; None for a post with more rows than were asked for."""
    newest: Sequence[Row] | None
    """Of a post with many rows, or where it was asked for: the newest, newest first."""


class Queries:
    """Reads reactions. Each method is one query, unless it says more."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self, post_ids: Iterable[int]) -> dict[int, dict[int, int]]:
        """post -> type code -> count, from the counts table."""
        with self._database.transaction() as connection:
            return _counts(connection, set(post_ids))

    def summaries(
        self, post_ids: Iterable[int], user_id: int, own_ids: Iterable[int], *, most: int = 0
    ) -> tuple[dict[int, dict[int, int]], dict[int, int], bool]:
        """Counts of some posts, and a user's reaction on others: a query for each, if any.

        Args:
            most: the newest of the user's other reactions are read too, up to one more than this.

        Returns:
            post -> type code -> count; post -> the user's code, 0 for no reaction; and whether
            these are all of the user's reactions.
        """
        cold, unknown = set(post_ids), set(own_ids)
        with self._database.transaction() as connection:
            counts = _counts(connection, cold) if cold else {}
            own: dict[int, int] = {}
            others = 0
            if unknown:
                limit = most + 1 if most else 0
                found = connection.execute(
                    OWN, {"posts": array(unknown), "user": user_id, "most": limit}
                ).all()
                others = sum(other for _, _, other in found)
                # The oldest first, as those are let go first.
                own = {post_id: code for post_id, code, other in reversed(found) if other}
                own |= dict.fromkeys(unknown, 0)
                own |= {post_id: code for post_id, code, _ in found if post_id in unknown}
        return counts, own, most > 0 and others <= most

    def reactions(self, post_ids: Sequence[int]) -> dict[int, dict[int, int]]:
        """post -> user -> type code of what is not removed; over all rows of these posts."""
        rows: dict[int, dict[int, int]] = {post_id: {} for post_id in post_ids}
        wanted = select(_row.post_id, _row.user_id, _row.reaction).where(
            _row.post_id.in_(post_ids), _row.reaction != 0
        )
        for post_id, user_id, code in self._database.execute_at_once(wanted):
            rows[post_id][user_id] = code
        return rows

    def of_users(self, first: int, beyond: int) -> dict[tuple[int, int], int]:
        """(post, user) -> type code, of users in a range of ids; what is removed is left out."""
        with self._database.transaction() as connection:
            found = connection.execute(
                select(_row.post_id, _row.user_id, _row.reaction).where(
                    _row.user_id >= first, _row.user_id < beyond, _row.reaction != 0
                )
            )
            return {(post_id, user_id): code for post_id, user_id, code in found}

    def newest(
        self, post_id: int, codes: Iterable[int], *, limit: int, before: int | None = None
    ) -> list[Row]:
        """The newest reactions of these types on a post, newest first.

        Args:
            before: only those with a smaller version.
        """
        with self._database.transaction() as connection:
            return _newest(connection, post_id, codes, limit, before)

    def history(
        self,
        user_id: int,
        codes: Iterable[int] | None = None,
        *,
        limit: int,
        before: tuple[int, int] | None = None,
    ) -> list[Row]:
        """A user's reactions, newest first, without those on deleted posts.

        Args:
            codes: only of these types.
            before: (version, post) of the last one of the page before.
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
            # The first condition alone bounds the index scan.
            wanted += [
                _row.version <= before[0],
                tuple_(_row.version, _row.post_id) < tuple_(*before),
            ]
        with self._database.transaction() as connection:
            found = connection.execute(
                select(_row.post_id, _row.user_id, _row.reaction, _row.version)
                .where(*wanted)
                .order_by(*order)
                .limit(limit)
            )
            return [Row(*row) for row in found]

    def sizes(self, after: int, limit: int) -> dict[int, int]:
        """The next posts, by id, that were ever touched, with how many rows they have."""
        known = posts_table.c.post_id
        table = reaction_counts.c
        with self._database.transaction() as connection:
            posts = list(
                connection.scalars(select(known).where(known > after).order_by(known).limit(limit))
            )
            sizes = dict.fromkeys(posts, 0)
            for post_id, rows in connection.execute(
                select(table.post_id, func.sum(table.count))
                .where(table.post_id.in_(posts))
                .group_by(table.post_id)
            ):
                sizes[post_id] = int(rows)
        return sizes

    def to_check(
        self, tiers: Iterable[int], now: int, before: int, limit: int
    ) -> Sequence[Touched]:
        """Posts of these tiers that were touched since they were last compared, newest first.

        All of those that were touched at the same time come together, beyond the limit too.

        Args:
            now: those compared at this time or later are left out.
            before: and those touched at this time or later.
        """
        table = posts_table.c
        wanted = (
            select(table.post_id, table.touched, table.tier)
            .where(
                table.tier.in_(list(tiers)),
                table.touched > table.checked - TOUCHED_EVERY_US,
                table.checked < now,
                table.touched < before,
            )
            .order_by(table.touched.desc())
            .fetch(limit, with_ties=True)
        )
        with self._database.transaction() as connection:
            return [Touched(*row) for row in connection.execute(wanted)]

    def of_tiers(self, tiers: Iterable[int], after: int, since: int, limit: int) -> list[int]:
        """The next posts of these tiers, by id, that were touched since then."""
        table = posts_table.c
        with self._database.transaction() as connection:
            return list(
                connection.scalars(
                    select(table.post_id)
                    .where(
                        table.tier.in_(list(tiers)), table.touched >= since, table.post_id > after
                    )
                    .order_by(table.post_id)
                    .limit(limit)
                )
            )

    def tiers(self) -> dict[int, int]:
        """How many posts are noted of each tier; the regular ones of a large table are estimated.

        Two queries: an index scan over those that are not regular, and the planner's statistics.
        """
        table = posts_table.c
        with self._database.transaction() as connection:
            counted = (
                select(table.tier, func.count())
                .where(table.tier.in_([tier for tier in PostTier if tier]))
                .group_by(table.tier)
            )
            found: dict[int, int] = dict(connection.execute(counted).all())
            estimate = text("SELECT reltuples FROM pg_class WHERE oid = CAST('posts' AS regclass)")
            posts = int(connection.scalar(estimate) or 0)
            if posts < ESTIMATED:
                posts = int(connection.scalar(select(func.count()).select_from(posts_table)) or 0)
        return {PostTier.REGULAR: max(0, posts - sum(found.values())), **found}

    def rising(self, limit: int) -> dict[int, int]:
        """Posts on their way to become viral, and since when (µs); the latest first."""
        table = posts_table.c
        wanted = (
            select(table.post_id, table.tier_since)
            .where(table.tier == PostTier.RISING)
            .order_by(table.touched.desc())
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return dict(connection.execute(wanted).all())

    def newest_users(self, post_id: int, limit: int) -> list[int]:
        """The users of the newest reactions on a post, of every type."""
        with self._database.transaction() as connection:
            known = _counts(connection, {post_id})[post_id]
            rows = _newest(connection, post_id, known, limit, None)
        return [row.user_id for row in rows]

    def newest_touched(self) -> int:
        """The newest that ``posts`` knows of any change."""
        with self._database.transaction() as connection:
            return int(connection.scalar(select(func.max(posts_table.c.touched))) or 0)

    def touched_before(
        self, before: int, since: int, shards: Sequence[int], limit: int
    ) -> dict[int, int]:
        """Posts of these shards, the newest touched before this first, and when they were.

        All of those that were touched at the same time come together, beyond the limit too.
        """
        table = posts_table.c
        wanted = (
            select(table.post_id, table.touched)
            .where(
                table.touched < before,
                table.touched >= since,
                (table.post_id % SHARDS).in_(list(shards)),
            )
            .order_by(table.touched.desc())
            .fetch(limit, with_ties=True)
        )
        with self._database.transaction() as connection:
            return dict(connection.execute(wanted).all())

    def deleted_of(self, shards: Sequence[int], after: int, limit: int) -> dict[int, bool]:
        """The next deleted posts of these shards, by id -> whether all their rows are erased."""
        table = deleted_posts.c
        wanted = (
            select(table.post_id, table.erased)
            .where((table.post_id % SHARDS).in_(list(shards)), table.post_id > after)
            .order_by(table.post_id)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return dict(connection.execute(wanted).all())

    def deleted(self, post_ids: Iterable[int]) -> set[int]:
        """Those of these posts that are deleted."""
        column = deleted_posts.c.post_id
        with self._database.transaction() as connection:
            return set(connection.scalars(select(column).where(column.in_(list(post_ids)))))

    def ever(self, post_id: int, limit: int) -> list[int]:
        """Users who ever reacted on a post, also those who took it away; at most ``limit``."""
        with self._database.transaction() as connection:
            return list(
                connection.scalars(select(_row.user_id).where(_row.post_id == post_id).limit(limit))
            )

    def count_ever(self, post_id: int) -> int:
        """How many users ever reacted on a post: from the counts, tombstones included."""
        table = reaction_counts.c
        with self._database.transaction() as connection:
            total = connection.scalar(
                select(func.coalesce(func.sum(table.count), 0)).where(table.post_id == post_id)
            )
        return int(total or 0)

    def stored(
        self,
        post_ids: Sequence[int],
        rows_up_to: int,
        *,
        newest_from: int | None = None,
        newest: int = 0,
        newest_of: Collection[int] = (),
        tally_up_to: int | None = None,
    ) -> dict[int, Stored]:
        """Counts, tally and rows of posts in one snapshot; for verification.

        Three queries, and one for each post with many rows.

        Args:
            rows_up_to: rows are read only of posts with at most this many.
            newest_from: of those with at least this many, and of
            newest_of: these, the newest rows are read,
            newest: as many as this.
            tally_up_to: rows are counted only of posts with at most so many by the counts table;
                of all if not given.
        """
        rows: dict[int, dict[int, int]] = {}
        latest: dict[int, list[Row]] = {}
        with self._database.transaction("REPEATABLE READ") as connection:
            counts = _counts(connection, set(post_ids), removed=True)
            tallied = [
                post_id
                for post_id in post_ids
                if tally_up_to is None or sum(counts[post_id].values()) <= tally_up_to
            ]
            tally = _tally(connection, tallied) if tally_up_to != 0 else {}
            for post_id in post_ids:
                known = tally.get(post_id, counts[post_id])
                live = sum(n for code, n in known.items() if code)
                if live <= rows_up_to:
                    rows[post_id] = {}
                if post_id in newest_of or (newest_from is not None and live >= newest_from):
                    latest[post_id] = _newest(connection, post_id, known, newest, None)
            for post_id, user_id, code in connection.execute(
                select(_row.post_id, _row.user_id, _row.reaction).where(
                    _row.post_id.in_(list(rows)), _row.reaction != 0
                )
            ):
                rows[post_id][user_id] = code
        return {p: Stored(counts[p], tally.get(p), rows.get(p), latest.get(p)) for p in post_ids}

    def posts(self, after: int, limit: int) -> list[int]:
        """The next posts, by id, that the rows or the counts know; for a walk over all of them."""
        rows, counts = _row.post_id, reaction_counts.c.post_id
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
        with self._database.transaction() as connection:
            found = connection.scalars(select(both.c.post_id).order_by(both.c.post_id).limit(limit))
            return list(found)


def _counts(
    connection: Connection, post_ids: set[int], *, removed: bool = False
) -> dict[int, dict[int, int]]:
    counts: dict[int, dict[int, int]] = {post_id: {} for post_id in post_ids}
    table = reaction_counts.c
    wanted: list[ColumnElement[bool]] = [table.post_id.in_(post_ids)]
    if not removed:
        wanted.append(table.reaction != 0)
    for post_id, code, count in connection.execute(
        select(table.post_id, table.reaction, table.count).where(*wanted)
    ):
        counts[post_id][code] = count
    return counts


def _tally(connection: Connection, post_ids: Sequence[int]) -> dict[int, dict[int, int]]:
    """The rows, counted; over all rows of these posts."""
    tally: dict[int, dict[int, int]] = {post_id: {} for post_id in post_ids}
    for post_id, code, count in connection.execute(
        select(_row.post_id, _row.reaction, func.count())
        .where(_row.post_id.in_(post_ids))
        .group_by(_row.post_id, _row.reaction)
    ):
        tally[post_id][code] = count
    return tally


def _newest(
    connection: Connection, post_id: int, codes: Iterable[int], limit: int, before: int | None
) -> list[Row]:
    """One index scan for each type, each ordered and bounded, merged by the server."""
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

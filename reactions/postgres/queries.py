"""The SQL of reads and cache loads. Every query uses a key or an index, whatever a post's size."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, select, text

from reactions.core.model import Row
from reactions.postgres.database import Database, array
from reactions.postgres.list_queries import ListQueries, read_newest
from reactions.postgres.tables import reaction_counts
from reactions.postgres.tables import reactions as reactions_table

_row = reactions_table.c

# Functions, because planning over all partitions takes longer than these reads; see migration 0011.
NEWEST_OF_USER = text("SELECT post_id, reaction FROM newest_of_user(:user, :limit)")
OWN = text("SELECT post_id, reaction FROM own_reactions(:user, CAST(:posts AS bigint[]))")

# LATERAL with LIMIT keeps the planner on the primary key, partition by partition.
STORED_CHANGES = text("""
SELECT wanted.post_id, wanted.user_id, found.reaction, found.version
FROM unnest(CAST(:posts AS bigint[]), CAST(:users AS bigint[])) AS wanted (post_id, user_id)
CROSS JOIN LATERAL (
    SELECT reaction, version FROM reactions AS r
    WHERE r.post_id = wanted.post_id AND r.user_id = wanted.user_id LIMIT 1
) AS found
""")


class Queries(ListQueries):
    """Reads reactions and counts. A method is one query unless it says otherwise."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._database = database

    def counts(self, post_ids: Iterable[int]) -> dict[int, dict[int, int]]:
        """Return post -> type code -> count, from the counts table, without tombstones."""
        wanted = set(post_ids)
        return self._database.read(lambda connection: read_counts(connection, wanted))

    def summaries(
        self,
        post_ids: Iterable[int],
        user_id: int,
        own_ids: Iterable[int],
        *,
        max_others: int = 0,
    ) -> tuple[dict[int, dict[int, int]], dict[int, int], bool]:
        """Read the counts of some posts and one user's reactions on others.

        Takes two queries at most, and a third one for a user with more than ``max_others``.

        Args:
            post_ids: the posts whose counts to read.
            own_ids: the posts on which to read the user's reaction.
            max_others: how many of the user's newest reactions on all posts to read as well. The
                query reads one more than this, to see whether these are all.

        Returns:
            post -> type code -> count; post -> the user's type code, 0 for no reaction; and whether
            the second mapping holds all of the user's reactions.
        """
        cold, unknown = set(post_ids), set(own_ids)
        counts = self.counts(cold) if cold else {}
        if not unknown:
            return counts, {}, False
        own: dict[int, int] = {}
        if max_others:
            found = self._database.execute_at_once(
                NEWEST_OF_USER, {"user": user_id, "limit": max_others + 1}
            )
            # Oldest first: the cache evicts in this order.
            own = dict(map(tuple, reversed(found)))
            unknown -= own.keys()
            if len(found) <= max_others:
                return counts, own | dict.fromkeys(unknown, 0), True
            if not unknown:
                return counts, own, False
        found = self._database.execute_at_once(OWN, {"posts": array(unknown), "user": user_id})
        own |= dict.fromkeys(unknown, 0) | dict(map(tuple, found))
        return counts, own, False

    def counts_with_changes(
        self, changes: Mapping[int, Mapping[int, tuple[int, int]]]
    ) -> dict[int, dict[int, int]]:
        """Return post -> type code -> count, as it will be once these changes are durable.

        Two queries in one snapshot: a change that is in the table already does not count twice.

        Args:
            changes: post -> user -> (code, version) of the newest change; code 0 removes.
        """
        posts: list[int] = []
        users: list[int] = []
        for post_id, of_users in changes.items():
            posts += [post_id] * len(of_users)
            users += of_users
        with self._database.transaction("REPEATABLE READ") as connection:
            counts = read_counts(connection, set(changes))
            stored = {
                (post_id, user_id): (code, version)
                for post_id, user_id, code, version in connection.execute(
                    STORED_CHANGES, {"posts": array(posts), "users": array(users)}
                )
            }
        for post_id, of_users in changes.items():
            moved = counts[post_id]
            for user_id, (code, version) in of_users.items():
                before, stored_version = stored.get((post_id, user_id), (0, 0))
                if stored_version < version:
                    moved[before] = moved.get(before, 0) - 1
                    moved[code] = moved.get(code, 0) + 1
            moved.pop(0, None)
        return counts

    def reactions(self, post_ids: Sequence[int]) -> dict[int, dict[int, int]]:
        """Return post -> user -> type code, without tombstones. Reads all rows of these posts."""
        rows: dict[int, dict[int, int]] = {post_id: {} for post_id in post_ids}
        wanted = select(_row.post_id, _row.user_id, _row.reaction).where(
            _row.post_id.in_(post_ids), _row.reaction != 0
        )
        for post_id, user_id, code in self._database.execute_at_once(wanted):
            rows[post_id][user_id] = code
        return rows

    def reactions_of_users(self, first: int, end: int) -> dict[tuple[int, int], int]:
        """Return (post, user) -> type code for ``first <= user < end``, without tombstones."""
        wanted = select(_row.post_id, _row.user_id, _row.reaction).where(
            _row.user_id >= first, _row.user_id < end, _row.reaction != 0
        )
        found = self._database.execute_at_once(wanted)
        return {(post_id, user_id): code for post_id, user_id, code in found}

    def reactions_of(self, pairs: Collection[tuple[int, int]]) -> dict[tuple[int, int], int]:
        """Return (user, post) -> type code of these pairs; 0 for a tombstone, no entry for none."""
        found = self._database.execute_at_once(
            STORED_CHANGES,
            {
                "posts": array(post_id for _, post_id in pairs),
                "users": array(user_id for user_id, _ in pairs),
            },
        )
        return {(user_id, post_id): code for post_id, user_id, code, _ in found}

    def all_of_users(self, user_ids: Collection[int]) -> dict[tuple[int, int], int]:
        """Return (user, post) -> type code of all reactions of these users."""
        wanted = select(_row.user_id, _row.post_id, _row.reaction).where(
            _row.user_id.in_(user_ids), _row.reaction != 0
        )
        found = self._database.execute_at_once(wanted) if user_ids else ()
        return {(user_id, post_id): code for user_id, post_id, code in found}

    def newest_users(self, post_id: int, limit: int) -> list[int]:
        """Return the users of a post's newest reactions, of every type. Two queries."""

        def newest(connection: Connection) -> list[Row]:
            known = read_counts(connection, {post_id})[post_id]
            return read_newest(connection, post_id, known, limit)

        return [row.user_id for row in self._database.read(newest)]

    def ever(self, post_id: int, limit: int) -> list[int]:
        """Return at most ``limit`` users who ever reacted to a post, tombstones included."""
        found = self._database.execute_at_once(
            select(_row.user_id).where(_row.post_id == post_id).limit(limit)
        )
        return [user_id for (user_id,) in found]


def read_counts(
    connection: Connection, post_ids: set[int], *, tombstones: bool = False
) -> dict[int, dict[int, int]]:
    """Return post -> type code -> count; with ``tombstones``, type 0 is included."""
    counts: dict[int, dict[int, int]] = {post_id: {} for post_id in post_ids}
    table = reaction_counts.c
    wanted: list[ColumnElement[bool]] = [table.post_id.in_(post_ids)]
    if not tombstones:
        wanted.append(table.reaction != 0)
    for post_id, code, count in connection.execute(
        select(table.post_id, table.reaction, table.count).where(*wanted)
    ):
        counts[post_id][code] = count
    return counts

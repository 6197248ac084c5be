"""Compares the cached reactions of users with PostgreSQL, for every user whom Redis knows.

A post's own check looks only at the newest users that PostgreSQL has of the post. This one begins
at Redis, so it also finds what PostgreSQL does not know, as after the restore of an old dump.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TypeAlias

from reactions.core.constants import MAX_ID
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.posts import Posts
from reactions.postgres.queries import Queries
from reactions.redis.cached_ids import CachedIds
from reactions.redis.connection import Client
from reactions.redis.outbox_state import OutboxState
from reactions.redis.user_cache import UserCache

Pair: TypeAlias = tuple[int, int]
"""A user and a post."""


class UserChecker:
    """Finds and drops caches of users that differ from PostgreSQL.

    A drain commits first, then writes the cached reactions, and gives up its claim last. So what
    differs while nothing of that user is pending or claimed is wrong, if it stays so.
    """

    def __init__(
        self,
        client: Client,
        database: Database,
        settings: Settings,
        users: UserCache,
        outbox_state: OutboxState,
    ) -> None:
        self._cached = CachedIds(client, settings)
        self._users = users
        self._outbox_state = outbox_state
        self._queries = Queries(database)
        self._posts = Posts(database)

    def differing(self) -> Iterator[tuple[int, dict[int, list[int]]]]:
        """Walk over all cached users.

        Yields:
            How many users were compared; and user -> the posts that differ, for those users.
        """
        for users in self._cached.users():
            differing: dict[int, list[int]] = {}
            for user_id, post_id in sorted(self._stay_different(users)):
                differing.setdefault(user_id, []).append(post_id)
            yield len(users), differing

    def _stay_different(self, users: Collection[int]) -> set[Pair]:
        first = self._different(users)
        if not first:
            return set()
        moving = self._outbox_state.moving(first)
        again = self._different({user_id for user_id, _ in first})
        kept = {pair for pair, codes in first.items() if again.get(pair) == codes}
        deleted = self._posts.deleted({post_id for _, post_id in kept})
        return {pair for pair in kept - moving if pair[1] not in deleted}

    def _different(self, users: Collection[int]) -> Mapping[Pair, tuple[int, int]]:
        """Return what differs -> the code in Redis and the code in PostgreSQL."""
        cached, whole = self._users.cached(users)
        pairs = [(user_id, post_id) for user_id, post_id in cached if 1 <= post_id <= MAX_ID]
        stored = self._queries.reactions_of(pairs)
        # Redis claims to know every reaction of these users, so what is not there is none.
        for pair, code in self._queries.all_of_users(whole).items():
            stored[pair] = code
            cached.setdefault(pair, 0)
        return {
            pair: (code, stored.get(pair, 0))
            for pair, code in cached.items()
            if code != stored.get(pair, 0)
        }

    def drop(self, user_ids: Collection[int]) -> None:
        """Drop the cached reactions of these users: reads load them again."""
        for user_id in user_ids:
            self._users.drop(user_id)

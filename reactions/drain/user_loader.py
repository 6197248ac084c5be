"""Loads the reactions of users from PostgreSQL into their caches, under a fence.

A load sets a token, reads PostgreSQL, and installs the result. A drain that writes a reaction of
the user in between deletes the token, and Redis then refuses the install.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from reactions.core.constants import MAX_WHOLE_USER
from reactions.postgres.queries import Queries
from reactions.redis.connection import Client
from reactions.redis.pipeline import run_all
from reactions.redis.user_cache import UserCache


class UserLoader:
    """Caches all reactions of users. A post that is missing then has no reaction of the user."""

    def __init__(self, client: Client, users: UserCache, queries: Queries) -> None:
        self._client = client
        self._users = users
        self._queries = queries

    def load(self, user_ids: Sequence[int]) -> int:
        """Cache these users. Returns how many. Takes two round trips, and a query for each user.

        A user with more than ``MAX_WHOLE_USER`` reactions gets the newest ones, and a mark which
        says that there are more.

        Raises:
            ReactionsUnavailable: Redis or PostgreSQL failed.
        """
        if not user_ids:
            return 0
        token = secrets.token_hex(8)
        run_all(self._client, [self._users.fence_command(user_id, token) for user_id in user_ids])
        installs = []
        for user_id in user_ids:
            rows = self._queries.history(user_id, limit=MAX_WHOLE_USER + 1)
            whole = len(rows) <= MAX_WHOLE_USER
            # The oldest come first, since a cache that grows too large drops its first entries.
            found = {row.post_id: row.reaction for row in reversed(rows)}
            installs.append(self._users.install_call(user_id, token, found, whole=whole))
        return sum(reply == 1 for reply in run_all(self._client, installs))

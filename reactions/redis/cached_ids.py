"""Finds the posts and users that Redis holds anything of, whether or not PostgreSQL knows them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reactions.core.constants import shard_of
from reactions.core.settings import Settings
from reactions.core.validate import is_id
from reactions.redis.connection import Client, translated
from reactions.redis.keys import keys_of

BATCH = 500
"""Ids that are returned together, about."""


class CachedIds:
    """Walks over the keys with SCAN: O(all keys), in short steps. Other clients are not blocked.

    An id may come more than once. A key that exists during the whole walk is found. Every method
    raises ReactionsUnavailable when Redis cannot serve.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)
        id_of = r"\{([0-9]{1,2})\}:([0-9]{1,19}):"
        self._posts = re.compile(f"{self._keys.space}:{id_of}".encode())
        user = f"user:{id_of}(?:reactions|loading){self._keys.user_suffix}$"
        self._users = re.compile(user.encode())

    def posts(self) -> Iterator[set[int]]:
        """Yield the posts that have a cache or a pending change, in sets of about ``BATCH``."""
        return self._ids(self._posts, f"{self._keys.space}:*")

    def users(self) -> Iterator[set[int]]:
        """Yield the users whose reactions are cached, in sets of about ``BATCH``."""
        return self._ids(self._users, f"user:*{self._keys.user_suffix}")

    def _ids(self, key_of: re.Pattern[bytes], pattern: str) -> Iterator[set[int]]:
        found: set[int] = set()
        with translated():
            for key in self._client.scan_iter(match=pattern, count=1000):
                parts = key_of.match(key)
                if parts and is_id(parts[2]) and shard_of(int(parts[2])) == int(parts[1]):
                    found.add(int(parts[2]))
                if len(found) >= BATCH:
                    yield found
                    found = set()
        if found:
            yield found

"""Finds the posts and users that Redis holds anything of, whether or not PostgreSQL knows them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reactions.core.constants import shard_of
from reactions.core.validate import is_id
from reactions.redis.connection import Client, translated

BATCH = 500
"""Ids that are returned together, about."""

_KEY = re.compile(rb"(?:post|user):\{([0-9]{1,2})\}:([0-9]{1,19}):(?!allowance)")


class CachedIds:
    """Walks over the keys with SCAN: O(all keys), in short steps. Other clients are not blocked.

    An id may come more than once. A key that exists during the whole walk is found. Every method
    raises ReactionsUnavailable when Redis cannot serve.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def posts(self) -> Iterator[set[int]]:
        """Yield the posts that have a cache or a pending change, in sets of about ``BATCH``."""
        return self._ids("post:*")

    def users(self) -> Iterator[set[int]]:
        """Yield the users whose reactions are cached, in sets of about ``BATCH``."""
        return self._ids("user:*")

    def _ids(self, pattern: str) -> Iterator[set[int]]:
        found: set[int] = set()
        with translated():
            for key in self._client.scan_iter(match=pattern, count=1000):
                parts = _KEY.match(key)
                if parts and is_id(parts[2]) and shard_of(int(parts[2])) == int(parts[1]):
                    found.add(int(parts[2]))
                if len(found) >= BATCH:
                    yield found
                    found = set()
        if found:
            yield found

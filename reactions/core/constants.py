"""Constants that every package knows: they are part of keys, of rows, or of the API."""

from __future__ import annotations

SHARDS = 100
"""Number of shards; a post or a user belongs to shard ``id % 100``. Every key contains the shard,
so this can never change."""

DEFAULT_SPACE = "post"
"""The space of the plain calls; its name is also its key word."""

MAX_ID = 2**63 - 1
"""Largest id: the limit of PostgreSQL's bigint and of Redis's integers."""

MAX_CODE = 127
"""Largest type code: the largest integer that a Redis listpack stores in one byte."""

REMOVE = "remove"
"""What a trace writes in place of a type to end a reaction; no type may have this name."""

LOAD_LIFE_MS = 30_000
"""How long a load may take. After that its token expires and Redis refuses its result."""

SAMPLE_SIZE = 1_000
"""How many of the newest reactors of a viral post stay in the cache."""

MAX_USER_POSTS = 500
"""Most reactions cached for one user; a listpack holds up to 512 entries."""

MAX_WHOLE_USER = 400
"""A user with at most this many reactions is cached whole, so that one query answers for every
post. The rest of ``MAX_USER_POSTS`` is room for reactions that follow."""

MAX_REPLICAS = 10
"""Most replicas that a call can wait for; a primary seldom has more than two or three."""

MAX_PARTITIONS = 256
"""Most hash partitions of ``reactions``. A read of a user's list looks into each of them, so it
becomes slower with their number."""


def shard_of(number: int) -> int:
    """Return the shard of a post or a user."""
    return number % SHARDS

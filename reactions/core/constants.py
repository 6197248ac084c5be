"""Constants that every package knows: they are part of keys, rows or promises."""

from __future__ import annotations

SHARDS = 100
"""Number of shards, from the brief: shard = id % 100. A constant: it is part of every key."""


MAX_ID = 2**63 - 1
"""Largest id: PostgreSQL's bigint and Redis's 64-bit integers end here."""


MAX_CODE = 127
"""Largest type code: the largest integer that a Redis listpack keeps in one byte."""


REMOVE = "remove"
"""The type by which a trace takes a reaction away; no reaction can be called so."""


LOAD_LIFE_MS = 30_000
"""How long a load may take before its token lapses and its result is refused."""


SAMPLE_SIZE = 1_000
"""Users in the sample of a viral post (brief)."""


MAX_USER_POSTS = 500
"""Most reactions cached of one user: within the 512 entries that stay a listpack."""


MAX_WHOLE_USER = 400
"""A user with at most this many reactions is cached whole, so that one question to the database
answers for all posts; the rest of MAX_USER_POSTS is room for what comes after it."""


MAX_REPLICAS = 10
"""Most replicas that a call can wait for: far more than a primary has."""


def shard_of(number: int) -> int:
    """The shard of a post or a user: id % 100 (brief)."""
    return number % SHARDS

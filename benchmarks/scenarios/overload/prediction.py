"""The memory that a backlog needs, by the formula of docs/reliability.md."""

from __future__ import annotations

ENTRY = 35
"""Bytes of a pending (post, user) on a post with up to LISTPACK of them: a listpack."""

ENTRY_LARGE = 110
"""Bytes of a pending (post, user) on a post with more of them: a hash table."""

POST = 350
"""Bytes of a post that has at least one pending reaction."""

LISTPACK = 512

CACHE_POST, CACHE_USER, CACHED = 300, 130, 30
"""Bytes of the caches of a post and of a user, and of each reaction in both; measured by
``benchmarks memory`` (docs/benchmarks)."""


def predicted(posts: int, pending: int) -> int:
    """The maximum of the bytes that the outbox needs (docs/reliability.md)."""
    entry = ENTRY if pending <= LISTPACK * posts else ENTRY_LARGE
    return POST * posts + entry * pending


def cached(posts: int, users: int, reactions: int) -> int:
    """Bytes of the caches that drains fill; Redis may evict them."""
    return CACHE_POST * posts + CACHE_USER * users + CACHED * reactions

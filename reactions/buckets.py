"""How a hash of users is spread over keys that each stay a listpack: 12 bytes an entry, not 50.

The same arithmetic as ``lua/buckets.lua``.
"""

from __future__ import annotations

from collections.abc import Mapping

PRIME = 65_521
"""The largest prime below 2^16: ids with a common factor spread too."""

FILL = 200
"""Entries a bucket has on average when a hash is loaded."""

FULL = 400
"""Average from which a hash is to grow. A listpack ends at 512 (hash-max-listpack-entries of Redis
and Valkey); around a mean of 400 a bucket spreads by 20, so hardly any reaches it."""

MARK = 0
"""The field of a bucket's mark; ids start at 1, so it is nobody's."""


def bucket_of(user_id: int, count: int) -> int:
    """The bucket of a user among ``count``: linear hashing, so growth by one divides one bucket."""
    width = 1 << max(0, count - 1).bit_length()
    bucket = user_id % PRIME % width
    return bucket if bucket < count else bucket - width // 2


def count_for(entries: int) -> int:
    """Buckets for this many entries: half full, so that the hash may double."""
    return max(1, -(-entries // FILL))


def spread(rows: Mapping[int, int]) -> list[dict[int, int]]:
    """The contents of all buckets for user -> code, marks included; a bucket's mark comes first."""
    count = count_for(len(rows))
    buckets: list[dict[int, int]] = [{MARK: 1} for _ in range(count)]
    buckets[0][MARK] = count
    for user_id, code in rows.items():
        buckets[bucket_of(user_id, count)][user_id] = code
    return buckets

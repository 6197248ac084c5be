"""Spreads a large hash of users over several keys, its buckets.

Each bucket is small enough for Redis to store it as a listpack: 12 bytes an entry instead of 50.
``lua/include/buckets.lua`` does the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping

PRIME = 4_194_301
"""The largest prime below 2^22. With it, the products below stay exact in Lua's doubles."""

FACTOR = 2_592_221
"""About PRIME divided by the golden ratio. Id generators give out ids at a fixed step; this factor
spreads them evenly over a power of two of buckets."""

FILL = 300
"""A loaded hash has at most this many entries a bucket, on average."""

FULL = 400
"""Above this many entries a bucket, on average, a hash doubles its buckets. Redis and Valkey stop
using a listpack above 512 entries (hash-max-listpack-entries). At an average of 400, the standard
deviation of a bucket is 20."""

MAX_BUCKETS = 4_096
"""No hash has more buckets. A mark above this limit was written by somebody else and is ignored."""

MARK = 0
"""The field of a bucket's mark. User ids start at 1, so no user has this field."""


def bucket_of(user_id: int, count: int) -> int:
    """Return which of ``count`` buckets a user is in.

    This is linear hashing: adding one bucket divides only one existing bucket.
    """
    width = 1 << max(0, count - 1).bit_length()
    bucket = user_id % PRIME * FACTOR % PRIME % width
    return bucket if bucket < count else bucket - width // 2


def count_for(entries: int) -> int:
    """Return how many buckets this many entries need: a power of two, which fills all evenly."""
    return 1 << max(0, -(-entries // FILL) - 1).bit_length()


def spread(rows: Mapping[int, int]) -> list[dict[int, int]]:
    """Return the contents of all buckets, each with its mark first.

    Args:
        rows: user -> code.
    """
    count = count_for(len(rows))
    buckets: list[dict[int, int]] = [{MARK: 1} for _ in range(count)]
    buckets[0][MARK] = count
    for user_id, code in rows.items():
        buckets[bucket_of(user_id, count)][user_id] = code
    return buckets

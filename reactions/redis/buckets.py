"""How a hash of users is spread over keys that each stay a listpack: 12 bytes an entry, not 50.

The same arithmetic as ``lua/buckets.lua``.
"""

from __future__ import annotations

from collections.abc import Mapping

PRIME = 4_194_301
"""The largest prime below 2^22: the products below stay exact in Lua's doubles."""

FACTOR = 2_592_221
"""About the golden section of the prime: ids that follow each other at any usual step, as those of
generators do, are then spread evenly over the buckets, whose number is a power of two."""

FILL = 300
"""Entries a bucket has on average, at most, when a hash is loaded."""

FULL = 400
"""Average from which a hash is to have twice as many. A listpack ends at 512 entries
(hash-max-listpack-entries of Redis and Valkey); around a mean of 400, a bucket differs by 20."""

MAX_BUCKETS = 4_096
"""More buckets than any hash here has: a mark beyond it is another hand's, and not believed."""

MARK = 0
"""The field of a bucket's mark; ids start at 1, so it is nobody's."""


def bucket_of(user_id: int, count: int) -> int:
    """The bucket of a user among ``count``: linear hashing, so growth by one divides one bucket."""
    width = 1 << max(0, count - 1).bit_length()
    bucket = user_id % PRIME * FACTOR % PRIME % width
    return bucket if bucket < count else bucket - width // 2


def count_for(entries: int) -> int:
    """Buckets for this many entries: a power of two, as then none is fuller than others."""
    return 1 << max(0, -(-entries // FILL) - 1).bit_length()


def spread(rows: Mapping[int, int]) -> list[dict[int, int]]:
    """The contents of all buckets for user -> code, marks included; a bucket's mark comes first."""
    count = count_for(len(rows))
    buckets: list[dict[int, int]] = [{MARK: 1} for _ in range(count)]
    buckets[0][MARK] = count
    for user_id, code in rows.items():
        buckets[bucket_of(user_id, count)][user_id] = code
    return buckets

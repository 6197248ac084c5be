"""User ids that look like real ones."""

from __future__ import annotations


def spread_id(number: int, bits: int) -> int:
    """The id of the n-th user (n from 1): 31 bits, or 62 bits like a snowflake.

    The ids of the first 2^30 users are distinct. ``filling`` has the same formula in SQL.
    """
    if bits <= 31:
        return (1 << 30) + number * 506_832_829 % (1 << 30)  # the factor is odd: a permutation
    return (1 << 61) + (number << 22) + number * 40_503 % 4_096

"""Advisory locks, so that at most one transaction writes rows of a shard."""

from __future__ import annotations

from sqlalchemy import text

LOCK_CLASS = 0x5EAC
"""First key of each advisory lock; the second is the shard. An arbitrary number that other programs
are unlikely to use."""


LOCK = text(
    "SELECT pg_advisory_xact_lock(:class, shard) FROM unnest(CAST(:shards AS int[])) AS shard"
)
"""Locks shards until the end of the transaction; ``shards`` must be in ascending order."""

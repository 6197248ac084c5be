"""Advisory locks: at most one writer of the rows of a shard."""

from __future__ import annotations

from sqlalchemy import text

LOCK_CLASS = 0x5EAC
"""First key of the advisory locks; the second is the shard. Chosen to be nobody else's."""


LOCK = text(
    "SELECT pg_advisory_xact_lock(:class, shard) FROM unnest(CAST(:shards AS int[])) AS shard"
)

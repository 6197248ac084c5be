"""Shows an operator everything that both stores hold about one post."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import select

from reactions.core.model import PostTier
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.queries import Queries
from reactions.postgres.tables import posts
from reactions.redis.clock import Clock
from reactions.redis.connection import Client
from reactions.redis.keys import keys_of
from reactions.redis.outbox_state import OutboxState
from reactions.redis.pipeline import Command, run_all
from reactions.redis.post_cache import PostCache
from reactions.redis.post_snapshots import PostSnapshots
from reactions.redis.replies import Snapshot


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the post: its TTL (None without one) and its size as MEMORY USAGE reports it."""

    name: str
    ttl_s: float | None
    bytes: int


@dataclass(slots=True)
class Inspection:
    """What both stores hold about a post.

    Attributes:
        tier: how Redis treats the post: ``regular``, ``rising``, ``viral`` or ``deleted``.
        noted_tier: the tier in PostgreSQL, which duties read; None if the post was never touched.
        counts_redis: type -> count, pending changes included; empty if the post is not cached.
        counts_database: type -> count.
        cached: ``hash`` or ``sample`` with the number of users, or ``nothing``.
        pending: changes that no drain has claimed.
        claimed: changes that a drain is recording now.
        lag_s: age of the oldest change that is not durable; None if all are.
        growth_per_s: weighted reactions per second; None if Redis does not measure this post.
        touched_s_ago: time since the last recorded change, to half a minute; None for never.
        checked_s_ago: time since the last reconciliation; None for never.
        keys: the keys of the post that exist in Redis.
    """

    post_id: int
    tier: str
    noted_tier: str | None
    counts_redis: dict[str, int]
    counts_database: dict[str, int]
    cached: str
    pending: int
    claimed: int
    lag_s: float | None
    growth_per_s: float | None
    touched_s_ago: float | None
    checked_s_ago: float | None
    keys: list[Key] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Size of all keys."""
        return sum(key.bytes for key in self.keys)


class Inspector:
    """Reads what both stores hold about one post. Changes nothing."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)
        self._database = database
        self._cache = PostCache(client, settings)
        self._snapshots = PostSnapshots(client, settings)
        self._outbox_state = OutboxState(client, settings)
        self._clock = Clock(client, settings)
        self._queries = Queries(database)
        self._names = {code: name for name, code in settings.reaction_types.items()}

    def inspect(self, post_id: int) -> Inspection:
        """Inspect one post: a few queries and round trips, and time linear in what is cached of it.

        Raises:
            ReactionsUnavailable: a store does not answer.
        """
        (found,) = self._snapshots.snapshots([post_id])
        deleted = bool(self._cache.deleted([post_id]))
        growth = self._snapshots.growths([post_id]).get(post_id)
        noted = self._noted(post_id)
        now = self._clock.now_us()
        kind = "sample" if found.buckets < 0 else "hash" if found.buckets > 0 else "nothing"
        users = sum(len(bucket or {}) for bucket in found.entries)
        oldest = self._outbox_state.oldest(post_id)
        return Inspection(
            post_id,
            "deleted" if deleted else _tier(found),
            PostTier(noted[0]).name.lower() if noted else None,
            self._named(found.counts),
            self._named(self._queries.counts([post_id])[post_id]),
            f"{kind} of {users} users" if found.buckets else kind,
            len(found.pending),
            len(found.claimed),
            None if oldest is None else max(0.0, (now - oldest) / 1e6),
            growth.per_s if growth else None,
            _ago(now, noted[1]) if noted else None,
            _ago(now, noted[2]) if noted else None,
            self._present(post_id, len(found.entries)),
        )

    def _named(self, counts: Mapping[int, int]) -> dict[str, int]:
        return {
            self._names.get(code, f"type {code}"): count for code, count in sorted(counts.items())
        }

    def _noted(self, post_id: int) -> tuple[int, int, int] | None:
        wanted = select(posts.c.tier, posts.c.touched, posts.c.checked)
        with self._database.transaction() as connection:
            row = connection.execute(wanted.where(posts.c.post_id == post_id)).first()
        return None if row is None else (row.tier, row.touched, row.checked)

    def _present(self, post_id: int, number: int) -> list[Key]:
        first, *others = self._keys.of_post(post_id)
        names = [self._keys.bucket(first, bucket) for bucket in range(max(1, number))]
        names += others
        calls = [
            Command((*what, name)) for name in names for what in (("PTTL",), ("MEMORY", "USAGE"))
        ]
        replies = run_all(self._client, calls)
        return [
            Key(name, None if life < 0 else life / 1000, size)
            for name, life, size in zip(names, replies[::2], replies[1::2], strict=True)
            if size is not None
        ]


def _tier(found: Snapshot) -> str:
    if found.viral:
        return "rising" if found.rising else "viral"
    return "regular"


def _ago(now_us: float, then_us: int) -> float | None:
    return max(0.0, (now_us - then_us) / 1e6) if then_us else None

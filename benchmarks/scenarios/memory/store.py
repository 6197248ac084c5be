"""One server with the parts of the engine: filled by the real path, and measured."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click
from redis import Redis
from sqlalchemy import text

from benchmarks.support.ids import spread_id
from benchmarks.support.post_keys import cache_keys, delete_matching, used_memory
from reactions.core.constants import SHARDS
from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.drain.cache_loader import CacheLoader
from reactions.drain.persister import Persister
from reactions.postgres.database import Database
from reactions.postgres.queries import Queries
from reactions.redis import buckets
from reactions.redis.cache_install import CacheInstall
from reactions.redis.clock import Clock
from reactions.redis.keys import default_keys as keys
from reactions.redis.outbox_state import OutboxState
from reactions.redis.user_cache import UserCache
from reactions.redis.writes import RedisWrites

STEADY_S = 30.0
"""The longest wait for a steady used_memory."""

READ_EVERY_S = 0.12
"""The server's cron runs ten times a second; each reading sees another run."""

EQUAL_READINGS = 4
"""So many equal readings in a row end the wait."""


class NoUserCache(UserCache):
    """Writes nothing: the memory of users is measured on its own, not with that of posts."""

    def write_through(self, rows: Iterable[Row], until_us: int) -> set[int]:
        """Ignore the rows."""
        del rows, until_us
        return set()


class Store:
    """A Redis server, a PostgreSQL database, and the parts of the engine that use them."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self._database = Database(settings, name="reactions-bench")
        self.client: Redis = Redis.from_url(
            settings.redis_url.get_secret_value(), socket_timeout=60
        )
        self.cache = CacheInstall(self.client, settings)
        self.outbox = OutboxState(self.client, settings)
        self.clock = Clock(self.client, settings)
        self.users = UserCache(self.client, settings)
        self.writes = RedisWrites(self.client, settings)
        self._loader = CacheLoader(self.cache, Queries(self._database), settings)
        self._persister = Persister(self.client, self._database, settings)
        self._persister._recorder._users = NoUserCache(self.client, settings)
        self.codes = list(settings.reaction_types.values())
        self.chance = random.Random(7)

    def close(self) -> None:
        self._database.close()
        self.client.close()

    def used(self) -> int:
        """used_memory without buffers, in bytes; waits up to STEADY_S until it is steady."""
        deadline = time.monotonic() + STEADY_S
        readings: list[int] = []
        while time.monotonic() < deadline:
            info: Any = self.client.info("memory")
            readings.append(used_memory(info))
            last = readings[-EQUAL_READINGS:]
            if (
                len(last) == EQUAL_READINGS
                and len(set(last)) == 1
                and not info["lazyfree_pending_objects"]
            ):
                break
            time.sleep(READ_EVERY_S)
        return readings[-1]

    def clean(self) -> int:
        """Empty both stores; returns what is used then, in bytes.

        The scripts are loaded and the keys of each shard exist afterwards (its clock and its
        histogram of lags), so that they do not count as part of a post.
        """
        self.client.flushall()
        with self._database.transaction() as connection:
            connection.execute(text("TRUNCATE reactions, reaction_counts"))
        warm = [shard + SHARDS for shard in range(SHARDS)]
        for user_id in (1, 2, 3):
            self.react((user_id, post_id) for post_id in warm)
            self.drain()
        self.load([(post_id, {1: 1}) for post_id in warm[:1]])
        self.users.write_through([Row(1, 1, 1, 1)], 0)
        self.writes.delete_post(1)
        self.client.delete(keys.outbox_deleted(1), keys.outbox_deletions(1))
        delete_matching(self.client, "post:*")
        delete_matching(self.client, "user:*")
        return self.used()

    def react(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Record a reaction of a random type for each (user, post), without waking any drain."""
        batch = []
        for user_id, post_id in pairs:
            batch.append((user_id, post_id, self.chance.choice(self.codes)))
            if len(batch) == 1_000:
                self.writes.record_many(batch)
                batch = []
        self.writes.record_many(batch)

    def drain(self) -> None:
        """Drain until nothing is pending."""
        while self.outbox.pending():
            self._persister.drain(range(SHARDS))

    def load(self, posts: Sequence[tuple[int, Mapping[int, int]]]) -> None:
        """Install counts and complete hashes, as the cache loader does."""
        for post_id, rows in posts:
            counts = {code: sum(1 for c in rows.values() if c == code) for code in self.codes}
            self.cache.fence_many([post_id], "load")
            self.cache.install_counts_of_loads({post_id: counts}, "load")
            if not self.cache.install_hashes({post_id: "load"}, {post_id: rows}):
                raise click.ClickException(f"the load of post {post_id} was refused")

    def complete(self, post_ids: Sequence[int]) -> None:
        """Load the hashes that are not cached, as reads would request it."""
        missing = [p for p, found in self._sizes(post_ids).items() if not found]
        for post_id in missing:
            # A drain fences more posts than it loads; a read would wait until the fence expires.
            self.client.delete(keys.post_loading(post_id))
            self._loader.load([post_id])
        if not all(self._sizes(post_ids).values()):
            raise click.ClickException("a post's hash is not cached")

    def _sizes(self, post_ids: Sequence[int]) -> dict[int, int]:
        with self.client.pipeline(transaction=False) as pipe:
            for post_id in post_ids:
                pipe.hget(keys.post_reactions(post_id), str(buckets.MARK))
            return {p: int(mark or 0) for p, mark in zip(post_ids, pipe.execute(), strict=True)}

    def keys_of(self, post_id: int) -> list[bytes]:
        """The existing keys of a post. A SCAN would walk over the keys of all posts."""
        names = [name for part in cache_keys(self.client, post_id).values() for name in part]
        names += [
            keys.post_loading(post_id),
            keys.post_pending(post_id),
            keys.post_claimed(post_id),
            keys.post_delta(post_id),
        ]
        with self.client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.exists(name)
            there = pipe.execute()
        return [name.encode() for name, exists in zip(names, there, strict=True) if exists]

    def rows(self, bits: int, size: int) -> dict[int, int]:
        """user -> a random type code, of the first users."""
        return {user: self.chance.choice(self.codes) for user in user_ids(bits, 1, size)}


def user_ids(bits: int, first: int, last: int) -> Iterator[int]:
    """The ids of the users from ``first`` to ``last``, both included."""
    return (spread_id(number, bits) for number in range(first, last + 1))


def post_ids(bits: int, posts: int) -> list[int]:
    """The ids of the first posts; they have the width of user ids."""
    return [spread_id(number, bits) for number in range(1, posts + 1)]

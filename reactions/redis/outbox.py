"""The outbox: claiming what is pending, settling what is committed, the lease, and the lag."""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from reactions.core.constants import LOAD_LIFE_MS, SHARDS, shard_of
from reactions.core.settings import Settings
from reactions.core.validate import is_id
from reactions.redis import keys
from reactions.redis.claims import (
    Claim,
    Entry,
    Settled,
    claimed_posts,
    entry_of,
    settled,
    version_of,
)
from reactions.redis.connection import Client, readable, translate, translated
from reactions.redis.pipeline import run_all, run_many
from reactions.redis.scripts import drain, markers
from reactions.redis.scripts.drain import SettledPost, TierRules
from reactions.redis.ttl import Ttl

_STEP = re.compile(rb"[0-9|]{0,60}")
"""Of the erasure of a user."""


@dataclass(frozen=True, slots=True)
class ShardState:
    """One shard of the outbox as the sweep and the operators see it."""

    shard: int
    dirty_posts: int
    oldest_age_s: float
    """Age of the oldest change that is not durable; 0 when the shard is clean."""
    leased: bool


class Outbox:
    """The outbox of all shards, on one client."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._lease_us = int(settings.lease_s * 1e6)
        self._longest_us = int(max(settings.lease_s, settings.retry_cap_s) * 1e6)
        ttl = Ttl(settings)
        self._tiers = TierRules(
            settings.viral_threshold,
            int(settings.viral_threshold * settings.viral_hysteresis),
            LOAD_LIFE_MS,
            ttl.cold,
            ttl.regular,
            ttl.hot,
            ttl.viral,
            int(settings.viral_window_s * 1e6),
            int(settings.viral_horizon_s * 1e6),
            max(1, int(settings.viral_threshold * settings.viral_watch)),
        )

    def claim(self, shards: Mapping[int, str]) -> tuple[list[Claim], dict[int, str]]:
        """Take pending changes of several shards, in one round trip for each node.

        Args:
            shards: shard -> token of an earlier claim to take over, or "".

        Returns:
            The claims (none for a clean shard or one that another drain has), and the shards
            that failed, with the reason.

        Raises:
            ReactionsUnavailable: Redis is not reachable at all.
        """
        settings = self._settings
        tokens = {shard: secrets.token_hex(8) for shard in shards}
        calls = [
            drain.claim(
                shard,
                tokens[shard],
                previous,
                lease_us=self._lease_us,
                longest_us=self._longest_us,
                posts=settings.batch_posts,
                # One transaction takes the rows of all claims together.
                rows=max(1, settings.batch_rows // len(shards)),
                inline=settings.batch_rows,
            )
            for shard, previous in shards.items()
        ]
        with translated():
            replies = run_many(self._client, calls)
        claims: list[Claim] = []
        failed: dict[int, str] = {}
        for shard, reply in zip(shards, replies, strict=True):
            if isinstance(reply, RedisError):
                failed[shard] = str(translate(reply))
            elif reply[0] and len(reply) > 3:
                claims.append(
                    Claim(
                        shard,
                        tokens[shard],
                        reply[1],
                        reply[2],
                        list(claimed_posts(reply[3:])),
                        self._lease_us,
                    )
                )
        return claims, failed

    def scan(self, post_id: int) -> Iterator[tuple[list[bytes], list[Entry]]]:
        """The claimed changes of a post too large for one reply, in pieces of about batch_rows.

        Each piece is the fields to trim, and what they hold; an empty one ends each round, for the
        caller to have trimmed all.

        The caller trims each piece, and all is done when no more is left than trim leaves: a cursor
        that outlives a restart or a failover of the server may skip entries, so the scan begins
        anew until then.
        """
        key, cursor, piece = keys.post_claimed(post_id), 0, dict[bytes, bytes]()
        while True:
            with translated():
                found: dict[bytes, bytes]  # redis-py's types allow for HSCAN NOVALUES and decoding
                cursor, found = self._client.hscan(  # type: ignore[assignment]
                    key, cursor, count=self._settings.batch_rows
                )
            if found:
                piece = found
                entries = [entry_of(str(post_id), user, value) for user, value in piece.items()]
                yield list(piece), entries
            if cursor == 0:
                yield [], []
                with translated():
                    if self._client.hlen(key) <= 1 and piece.keys() >= set(self._client.hkeys(key)):
                        return

    def trim(self, claim: Claim, post_id: int, fields: Sequence[bytes]) -> bool:
        """Drop committed rows of a large post and prolong the lease; False when it is lost."""
        return bool(drain.trim(post_id, claim.token, self._lease_us, fields).run(self._client))

    def settle(
        self, claims: Sequence[Claim], posts: Mapping[int, Sequence[SettledPost]]
    ) -> list[Settled]:
        """Acknowledge committed claims, in one round trip for each node.

        Args:
            posts: for each shard, its posts with their counts in the database.

        Raises:
            ReactionsUnavailable: Redis failed; the claims stand and will be drained again.
        """
        calls = [
            drain.settle(
                claim.shard,
                claim.token,
                claim.claimed_at,
                tiers=self._tiers,
                lags=claim.lags,
                posts=posts[claim.shard],
            )
            for claim in claims
        ]
        replies = run_all(self._client, calls)
        return [settled(reply) for reply in replies]

    def extend_leases(self, tokens: Mapping[int, str], delay_s: float) -> None:
        """Keep leases for this long from now, of a failed batch to its next try.

        A lease that is another's by now is left alone.
        """
        self._extend(tokens, int(min(delay_s * 1e6, self._longest_us)))

    def extend_claims(self, claims: Sequence[Claim]) -> None:
        """Keep the leases of a long batch for another lease_s; one that is lost stays lost."""
        asked = time.monotonic()
        held = self._extend({claim.shard: claim.token for claim in claims}, self._lease_us)
        for claim, ours in zip(claims, held, strict=True):
            if ours == 1:
                claim.extended(asked)

    def _extend(self, tokens: Mapping[int, str], delay_us: int) -> list[Any]:
        with translated():
            return run_many(
                self._client,
                [drain.extend_lease(s, token, delay_us) for s, token in tokens.items()],
            )

    def states(self) -> list[ShardState]:
        """All shards: three commands each, in one round trip for each node."""
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for shard in range(SHARDS):
                pipe.zcard(keys.outbox_dirty(shard))
                pipe.zrange(keys.outbox_dirty(shard), 0, 0, withscores=True)
                pipe.get(keys.outbox_lease(shard))
            replies: list[Any] = pipe.execute(raise_on_error=False)
        now = self.now_us()
        return [
            _state(shard, replies[3 * shard : 3 * shard + 3], now, self._longest_us)
            for shard in range(SHARDS)
        ]

    def overdue(self, age_s: float) -> list[int]:
        """Shards with a change older than this many seconds that no drain holds."""
        return [
            state.shard
            for state in self.states()
            if state.dirty_posts and state.oldest_age_s >= age_s and not state.leased
        ]

    def dirty_posts(self) -> list[int]:
        """Posts with something pending or claimed; one round trip for each node."""
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for shard in range(SHARDS):
                pipe.zrange(keys.outbox_dirty(shard), 0, -1)
            replies = pipe.execute()
        return [int(post) for posts in replies for post in posts if is_id(post)]

    def list_post(self, post_id: int) -> None:
        """Have a drain look at a post; one with nothing to do is left out again by its claim."""
        key = keys.outbox_dirty(shard_of(post_id))
        with translated():
            self._client.zadd(key, {str(post_id): self.now_us()}, nx=True)

    def oldest(self, post_id: int) -> float | None:
        """When the oldest change of a post came that is not durable (µs); None without one."""
        with translated():
            return self._client.zscore(keys.outbox_dirty(shard_of(post_id)), str(post_id))

    def pending(self) -> int:
        """Changes that are not durable yet, over all shards; two round trips for each node."""
        posts = self.dirty_posts()
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for post_id in posts:
                pipe.hlen(keys.post_pending(post_id))
                pipe.hlen(keys.post_claimed(post_id))
            return sum(pipe.execute())

    def newest_version(self) -> int:
        """At least as large as any version given out so far; one round trip for each node."""
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for shard in range(SHARDS):
                pipe.get(keys.outbox_clock(shard))
            # After a step of the server's clock back, versions are ahead of it.
            return max(int(self.now_us()), *(version_of(clock) for clock in pipe.execute()))

    def raise_clocks(self, shards: Iterable[int], version: int) -> None:
        """Give out no version up to this one in these shards; one round trip for each node."""
        run_all(self._client, [markers.raise_clock(shard, version) for shard in shards])

    def mark_deleted(self, posts: Mapping[int, bool]) -> None:
        """Refuse reactions on these posts; False are those with rows yet to be erased."""
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for post_id, erased in posts.items():
                shard = shard_of(post_id)
                pipe.sadd(keys.outbox_deleted(shard), str(post_id))
                if not erased:
                    pipe.sadd(keys.outbox_deletions(shard), str(post_id))
            pipe.execute()

    def quiet_before(self, time_us: int) -> bool:
        """Whether everything that came before this time is durable; one round trip a node."""
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for shard in range(SHARDS):
                pipe.zrange(keys.outbox_dirty(shard), 0, 0, withscores=True)
            return all(not oldest or oldest[0][1] > time_us for oldest in pipe.execute())

    def erasures(self) -> tuple[list[int], dict[int, str]]:
        """Posts whose rows are to go, and users with the step that their erasure is at."""
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for shard in range(SHARDS):
                pipe.smembers(keys.outbox_deletions(shard))
                pipe.hgetall(keys.outbox_forgetting(shard))
            replies = pipe.execute()
        return (
            [int(post) for posts in replies[::2] for post in posts if is_id(post)],
            {
                int(user): step.decode()
                for users in replies[1::2]
                for user, step in users.items()
                if is_id(user) and _STEP.fullmatch(step)
            },
        )

    def confirm_erased(self, post_id: int) -> None:
        """The rows of a deleted post are gone; it goes on refusing reactions."""
        with translated():
            self._client.srem(keys.outbox_deletions(shard_of(post_id)), str(post_id))

    def advance_erasure(self, user_id: int, step: str, following: str) -> bool:
        """Move the erasure of a user to its next step, "" when finished; False: asked for anew."""
        return bool(markers.advance_erasure(user_id, step, following).run(self._client))

    def lags(self) -> dict[int, int]:
        """Upper bound in µs -> reactions that became durable within it, over all shards."""
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for shard in range(SHARDS):
                pipe.hgetall(keys.outbox_lags(shard))
            replies = pipe.execute()
        total: dict[int, int] = {}
        for fields in replies:
            with readable():
                for bound, number in fields.items():
                    total[int(bound)] = total.get(int(bound), 0) + int(number)
        return total

    def eviction_policies(self) -> set[str]:
        """``maxmemory_policy`` of every node."""
        with translated():
            if self._settings.redis_cluster:
                info = self._client.info("memory", target_nodes="primaries")
                nodes = info.values() if "maxmemory_policy" not in info else [info]
            else:
                nodes = [self._client.info("memory")]
        return {str(node["maxmemory_policy"]) for node in nodes}

    def now_us(self) -> float:
        """µs since 1970: of the one server, or of this process where there are several."""
        with translated():
            if self._settings.redis_cluster:
                return time.time() * 1e6
            seconds, micros = self._client.time()
        return float(seconds * 1_000_000 + micros)


def _state(shard: int, replies: Sequence[Any], now: float, longest_us: int) -> ShardState:
    """One that cannot be read is overdue: the drain that is sent finds out why, and mends it."""
    dirty, oldest, lease = replies
    if isinstance(dirty, RedisError):
        return ShardState(shard, 1, math.inf, leased=False)
    # From before a step of the clock it may be ahead of now: how old it is, is unknown.
    age = abs(now - oldest[0][1]) / 1e6 if oldest else 0.0
    leased = isinstance(lease, bytes) and _leased(lease, now, longest_us)
    return ShardState(shard, dirty, age, leased)


def _leased(lease: bytes, now_us: float, longest_us: int) -> bool:
    """As ``claim.lua`` sees it: an expiry further ahead than a lease can be does not bind."""
    parts = lease.split(b"|")
    return len(parts) == 3 and 0 < version_of(parts[1]) - now_us <= longest_us

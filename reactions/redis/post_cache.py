"""The caches of a post: what a read finds, and how they are filled under the fence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from reactions.core.constants import LOAD_LIFE_MS, shard_of
from reactions.core.settings import Settings
from reactions.redis import buckets, keys
from reactions.redis.connection import Client, readable, translated
from reactions.redis.pipeline import Call, Command, run_all, run_many
from reactions.redis.replies import (
    Growth,
    PostLookup,
    Snapshot,
    growth,
    installed,
    pairs,
    parse_lookups,
    snapshot,
)
from reactions.redis.scripts import loading, lookups
from reactions.redis.scripts.loading import FenceReply
from reactions.redis.ttl import Ttl

MAX_OVERLAY_ENTRIES = 2_000
"""Most pending entries an install overlays, so that it holds the server for a few ms at most."""

MAX_POSTS_PER_LOOKUP = 50
"""Most posts that one script looks at: about half a ms of the server."""

MAX_DIVIDED_BUCKETS = 2
"""Most buckets divided by one script: about 2 ms of the server."""

LOADABLE = (FenceReply.REGULAR, FenceReply.VIRAL, FenceReply.RISING)

_CHUNK = 1_000  # fields or elements of one command


class LookupCalls(NamedTuple):
    """Posts, and for each group of them the call whose reply ``parse_lookups`` reads."""

    groups: Sequence[Sequence[int]]
    calls: Sequence[Call]


class PostCache:
    """The caches of posts, on one client."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._viral = settings.viral_threshold
        self._ttl = Ttl(settings)
        self._cluster = settings.redis_cluster

    def lookup_calls(self, post_ids: Sequence[int], user_id: int = 0) -> LookupCalls:
        """What to send to look at posts: few calls on one server, one a shard on a cluster."""
        shards: dict[int, list[int]] = {}
        for post_id in post_ids:
            shards.setdefault(shard_of(post_id) if self._cluster else 0, []).append(post_id)
        groups = [
            posts[start : start + MAX_POSTS_PER_LOOKUP]
            for posts in shards.values()
            for start in range(0, len(posts), MAX_POSTS_PER_LOOKUP)
        ]
        ttl = self._ttl
        calls = [
            lookups.lookup_posts(
                group,
                user_id,
                [ttl.share() for _ in group],
                cold_ms=ttl.cold,
                regular_ms=ttl.regular,
                viral_ms=ttl.viral,
            )
            for group in groups
        ]
        return LookupCalls(groups, calls)

    def lookup(self, post_id: int) -> PostLookup:
        """What Redis knows of one post. One round trip."""
        groups, (call,) = self.lookup_calls([post_id])
        return parse_lookups(groups, [call.run(self._client)])[post_id]

    def counts(self, post_id: int) -> dict[int, int] | None:
        """The cached counts, or None where they are not cached. One round trip."""
        return dict(self.lookup(post_id).counts) or None

    def recent(self, post_id: int, most: int) -> list[tuple[int, int]] | None:
        """(user, code) of the newest of a viral post; None without its sample. One round trip."""
        flat = lookups.recent(post_id, most).run(self._client)
        return None if len(flat) == 1 else list(pairs(flat).items())

    def pending(self, post_id: int, most: int) -> dict[int, tuple[int, int]] | None:
        """user -> (code, version) of what the database may lack; None when it is more than this."""
        names = keys.post_pending(post_id), keys.post_claimed(post_id)
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hlen(name)
            if sum(pipe.execute()) > most:
                return None
            for name in names:
                pipe.hgetall(name)
            pending, claimed = pipe.execute()
        found = {}
        for user, entry in {**claimed, **pending}.items():
            code, _, version = entry.partition(b":")
            if user.isdigit() and code.isdigit() and version.isdigit():
                with readable():
                    found[int(user)] = int(code), int(version)
        return found

    def changed(self, post_id: int, user_ids: Sequence[int]) -> set[int]:
        """Those of these users who have something pending on a post. One round trip."""
        if not user_ids:
            return set()
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for name in (keys.post_pending(post_id), keys.post_claimed(post_id)):
                pipe.hmget(name, [str(user_id) for user_id in user_ids])
            pending, claimed = pipe.execute()
        return {
            user_id
            for user_id, *entries in zip(user_ids, pending, claimed, strict=True)
            if any(entries)
        }

    # -- filling -------------------------------------------------------------------------------

    def fence(self, post_id: int, token: str) -> bool:
        """Announce a load. False when a claim is open, so that nothing read now can be cached."""
        return self.fence_call(post_id, token).run(self._client) in LOADABLE

    def fence_call(self, post_id: int, token: str, *, yields: bool = False) -> Call:
        """Reply: 0 when refused, or what ``FenceReply`` names.

        Args:
            yields: give way to a load that is under way already.
        """
        return loading.fence(post_id, token, LOAD_LIFE_MS, give_way=yields)

    def fence_many(
        self, post_ids: Sequence[int], token: str, *, yields: bool = False
    ) -> dict[int, FenceReply]:
        """Fence several posts, one round trip for each node; those refused now are left out."""
        calls = [self.fence_call(post_id, token, yields=yields) for post_id in post_ids]
        replies = run_all(self._client, calls)
        return {p: FenceReply(reply) for p, reply in zip(post_ids, replies, strict=True) if reply}

    def release(self, post_ids: Sequence[int]) -> None:
        """Give up loads that were announced, so that others need not give way to them."""
        if post_ids:
            with translated(), self._client.pipeline(transaction=False) as pipe:
                for post_id in post_ids:
                    pipe.unlink(keys.post_loading(post_id))
                pipe.execute()

    def install_counts_call(self, post_id: int, token: str, counts: Mapping[int, int]) -> Call:
        """Reply: whether they were cached, then database + pending; ``installed`` reads it."""
        return loading.install_counts(
            post_id,
            token,
            ttl_ms=self._ttl.jittered(self._ttl.cold),
            viral_ttl_ms=self._ttl.jittered(self._ttl.viral),
            viral=self._viral,
            counts=counts,
        )

    def install_counts_of_loads(self, counts: Mapping[int, Mapping[int, int]], token: str) -> None:
        """Cache the counts of posts whose loads go on, each unless a claim came in between."""
        calls = [
            loading.install_counts(
                post_id,
                token,
                ttl_ms=self._ttl.jittered(self._ttl.regular),
                viral_ttl_ms=self._ttl.jittered(self._ttl.viral),
                viral=self._viral,
                counts=found,
                keep_token=True,
            )
            for post_id, found in counts.items()
        ]
        run_all(self._client, calls)

    def install_counts(
        self, post_id: int, token: str, counts: Mapping[int, int]
    ) -> tuple[bool, dict[int, int]]:
        """Cache counts read from the database since ``fence``; what is pending is added.

        Returns:
            Whether they were cached, and database + pending. While a claim is open, what it holds
            may be in neither: then nothing is cached, and the answer is a batch behind.
        """
        return installed(self.install_counts_call(post_id, token, counts).run(self._client))

    def install_reactions(self, post_id: int, token: str, rows: Mapping[int, int]) -> bool:
        """Cache a post's complete user -> code, read since ``fence``; False when refused."""
        return self.install_hashes({post_id: token}, {post_id: rows}) == 1

    def install_hashes(
        self, tokens: Mapping[int, str], rows: Mapping[int, Mapping[int, int]]
    ) -> int:
        """The same of several posts, in two round trips for each node; how many were cached."""
        sizes: dict[int, int] = {}
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for post_id, token in tokens.items():
                spread = buckets.spread(rows[post_id])
                sizes[post_id] = len(spread)
                loaded = keys.post_loaded(post_id, token)
                for number, entries in enumerate(spread):
                    for chunk in _chunks(entries.items()):
                        name = keys.bucket(loaded, number)
                        pipe.hset(name, items=[number for pair in chunk for number in pair])
                        pipe.pexpire(name, LOAD_LIFE_MS)  # at once: nobody would, if we died here
            pipe.execute()
        calls = [
            loading.install_reactions(
                post_id,
                token,
                ttl_ms=self._ttl.jittered(self._ttl.regular),
                overlay=MAX_OVERLAY_ENTRIES,
                size=sizes[post_id],
            )
            for post_id, token in tokens.items()
        ]
        replies = run_all(self._client, calls)
        return sum(reply == 1 for reply in replies)

    def install_sample(
        self,
        post_id: int,
        token: str,
        *,
        total: int,
        newest: Sequence[tuple[int, int]],
        ever: Iterable[int] = (),
    ) -> bool:
        """Cache a viral post, read since ``fence``; False when refused.

        Args:
            total: its reactions in the database.
            newest: (user, code) of the newest of them, newest first.
            ever: everyone who ever reacted; without them, no HyperLogLog is made.
        """
        collected = [
            loading.collect(post_id, token, number == 0, LOAD_LIFE_MS, chunk)
            for number, chunk in enumerate(_chunks(ever))
        ]
        with translated():
            # A HyperLogLog has no place for a mark: each part looks whether those before are there.
            if not all(reply == 1 for reply in run_many(self._client, collected)):
                return False
        call = loading.install_sample(
            post_id,
            token,
            ttl_ms=self._ttl.jittered(self._ttl.viral),
            overlay=MAX_OVERLAY_ENTRIES,
            total=total,
            newest=newest,
        )
        return bool(call.run(self._client))

    def grow(self, post_ids: Sequence[int]) -> None:
        """Divide the buckets of hashes that became too full; each script about 2 ms."""
        todo = list(post_ids)
        while todo:
            with translated():
                replies = run_many(
                    self._client, [loading.grow(post_id, MAX_DIVIDED_BUCKETS) for post_id in todo]
                )
            todo = [post for post, reply in zip(todo, replies, strict=True) if reply == 1]

    def lacking(self, post_ids: Sequence[int]) -> list[int]:
        """Those of these posts that have no counts, or neither hash nor sample; one round trip."""
        calls = [
            command
            for post_id in post_ids
            for command in (
                Command(("HEXISTS", keys.post_reactions(post_id), buckets.MARK)),
                Command(("EXISTS", keys.post_reaction_counts(post_id))),
            )
        ]
        replies = run_all(self._client, calls)
        return [
            post_id
            for post_id, marked, counted in zip(post_ids, replies[::2], replies[1::2], strict=True)
            if not (marked and counted)
        ]

    def drop(self, post_id: int) -> None:
        """Drop what is cached of a post, but for its HyperLogLog, and refuse the load under way.

        One that is on its way to become viral stays so. Two round trips: not at once, but each of
        these keys may be missing alone.
        """
        first = keys.post_reactions(post_id)
        with translated():
            with self._client.pipeline(transaction=False) as pipe:
                pipe.unlink(keys.post_loading(post_id))
                pipe.hget(first, str(buckets.MARK))
                pipe.get(keys.post_viral(post_id))
                pipe.pexpire(keys.post_uniques(post_id), self._ttl.jittered(self._ttl.viral))
                _, size, flag, _ = pipe.execute()
            gone = [
                *(keys.bucket(first, number) for number in range(_size(size))),
                keys.post_reaction_counts(post_id),
                keys.post_total_reactions(post_id),
                keys.post_recent(post_id),
            ]
            if flag != b"2":
                gone.append(keys.post_viral(post_id))
            self._client.unlink(*gone)

    def demote(self, post_id: int) -> None:
        """Drop what only a viral post has cached, and all else, to be loaded as a regular one."""
        with translated():
            self._client.unlink(
                keys.post_viral(post_id), keys.post_uniques(post_id), keys.post_rate(post_id)
            )
        self.drop(post_id)  # last, as it refuses a load that still took the post for a viral one

    def growths(self, post_ids: Sequence[int]) -> dict[int, Growth]:
        """How posts grow, of those that are watched; one round trip for each node."""
        calls = [Command(("GET", keys.post_rate(post_id))) for post_id in post_ids]
        replies = run_all(self._client, calls)
        return {
            post_id: growth(reply)
            for post_id, reply in zip(post_ids, replies, strict=True)
            if reply is not None
        }

    def has_uniques(self, post_id: int) -> bool:
        """Whether the HyperLogLog of a post is cached. One round trip."""
        with translated():
            return bool(self._client.exists(keys.post_uniques(post_id)))

    def uniques(self, post_id: int) -> int | None:
        """How many ever reacted on a viral post, about; None when not cached. One round trip.

        0 on a deleted post.
        """
        commands: list[Call | Command] = [
            Command(("SISMEMBER", keys.outbox_deleted(shard_of(post_id)), post_id)),
            Command(("PFCOUNT", keys.post_uniques(post_id))),
        ]
        deleted, found = run_all(self._client, commands)
        # No key counts as 0, and a post with a HyperLogLog has had a reactor.
        return 0 if deleted else int(found) or None

    def deleted(self, post_ids: Sequence[int]) -> set[int]:
        """Those of these posts that are deleted. One round trip for each node."""
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for post_id in post_ids:
                pipe.sismember(keys.outbox_deleted(shard_of(post_id)), str(post_id))
            return {post for post, gone in zip(post_ids, pipe.execute(), strict=True) if gone}

    def snapshots(self, post_ids: Sequence[int], token: str = "") -> list[Snapshot]:
        """For verification: one round trip for each node.

        Args:
            token: of a fence that was only to see whether a claim came in between; it is given up.
        """
        calls = [loading.snapshot(post_id, token) for post_id in post_ids]
        return [snapshot(reply) for reply in run_all(self._client, calls)]


def _size(mark: bytes | None) -> int:
    """Buckets to look for: as ``size_of`` of ``buckets.lua``, and one at least."""
    try:
        size = abs(int(mark or 1))
    except ValueError:
        return 1
    return size if 1 <= size <= buckets.MAX_BUCKETS else 1


def _chunks(items: Iterable[Any]) -> Iterable[list[Any]]:
    rest = iter(items)
    return iter(lambda: list(islice(rest, _CHUNK)), [])

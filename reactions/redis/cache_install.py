"""Fills and drops the caches of posts, under the fence.

A load writes its token (the fence), reads PostgreSQL, and installs what it read. A claim or a newer
load replaces or deletes the token, and the install is refused: the rows may be out of date.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from reactions.core.constants import LOAD_LIFE_MS
from reactions.core.settings import Settings
from reactions.redis import buckets
from reactions.redis.command_batch import CommandBatch, Commands
from reactions.redis.connection import Client, translated
from reactions.redis.keys import Keys, keys_of
from reactions.redis.pipeline import Call, Command, run_all, run_many
from reactions.redis.scripts import loading
from reactions.redis.scripts.loading import FenceReply
from reactions.redis.ttl import Ttl

MAX_OVERLAY_ENTRIES = 2_000
"""Pending entries that one install adds to a hash or sample: a few ms of the server's time."""

MAX_DIVIDED_BUCKETS = 2
"""Buckets that one script divides: about 2 ms of the server's time."""

LOADABLE = (FenceReply.REGULAR, FenceReply.VIRAL, FenceReply.RISING)

_CHUNK = 1_000  # fields or elements of one command


class CacheInstall:
    """Fills and drops the caches of posts: for loads, drains and duties.

    Every method that sends something raises ReactionsUnavailable when Redis cannot serve.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)
        self._viral = settings.viral_threshold
        self._ttl = Ttl(settings)

    def fence_call(self, post_id: int, token: str, *, give_way: bool = False) -> Call:
        """Build the call that announces a load. This method sends nothing.

        The reply is 0 for a refused fence, or a member of ``FenceReply``.

        Args:
            give_way: refuse the fence if another load is already running.
        """
        return loading.fence(self._keys, post_id, token, LOAD_LIFE_MS, give_way=give_way)

    def fence_many(
        self, post_ids: Sequence[int], token: str, *, give_way: bool = False
    ) -> dict[int, FenceReply]:
        """Announce the loads of several posts. One round trip for each node.

        Args:
            give_way: refuse the fence of each post that another load is already filling.

        Returns:
            The tier of each fenced post, without the refused posts.
        """
        calls = [self.fence_call(post_id, token, give_way=give_way) for post_id in post_ids]
        replies = run_all(self._client, calls)
        return {p: FenceReply(reply) for p, reply in zip(post_ids, replies, strict=True) if reply}

    def release(self, post_ids: Sequence[int]) -> None:
        """Give up announced loads, so that other loads of these posts can start."""
        if post_ids:
            with translated(), CommandBatch(self._client) as pipe:
                for post_id in post_ids:
                    pipe.unlink(self._keys.post_loading(post_id))
                pipe.execute()

    def install_counts_call(self, post_id: int, token: str, counts: Mapping[int, int]) -> Call:
        """Build the call that caches a post's counts and ends its load. This method sends nothing.

        ``replies.installed`` reads the reply: whether the counts were cached, and the counts with
        all pending changes added. A refused install may lack the changes that a drain has claimed.

        Args:
            counts: code -> count in the database, read since ``fence_call``.
        """
        return loading.install_counts(
            self._keys,
            post_id,
            token,
            ttl_ms=self._ttl.jittered(self._ttl.cold),
            viral_ttl_ms=self._ttl.jittered(self._ttl.viral),
            viral=self._viral,
            counts=counts,
        )

    def install_counts_of_loads(self, counts: Mapping[int, Mapping[int, int]], token: str) -> None:
        """Cache the counts of posts whose loads continue. One round trip for each node.

        The install of a post is refused if a claim came in between.

        Args:
            counts: post -> code -> count in the database, read since the fence.
        """
        calls = [
            loading.install_counts(
                self._keys,
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

    def install_hashes(
        self, tokens: Mapping[int, str], rows: Mapping[int, Mapping[int, int]]
    ) -> int:
        """Cache the complete hashes of posts. Two round trips for each node.

        Args:
            tokens: post -> the token of its load.
            rows: post -> user -> code, all of the post's reactions, read since the fence.

        Returns:
            How many hashes were installed. The others were refused, because a claim came in
            between.
        """
        sizes: dict[int, int] = {}
        with translated(), CommandBatch(self._client) as pipe:
            for post_id, token in tokens.items():
                spread = buckets.spread(rows[post_id])
                sizes[post_id] = len(spread)
                loaded = self._keys.post_loaded(post_id, token)
                for number, entries in enumerate(spread):
                    for chunk in _chunks(entries.items()):
                        name = self._keys.bucket(loaded, number)
                        pipe.hset(name, items=[number for pair in chunk for number in pair])
                        # If this process dies before the install, nobody else deletes the key.
                        pipe.pexpire(name, LOAD_LIFE_MS)
            pipe.execute()
        calls = [
            loading.install_reactions(
                self._keys,
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
        """Cache the sample of a viral post. One round trip, and another one for ``ever``.

        Args:
            total: the number of the post's reactions in the database.
            newest: the newest (user, code) pairs in the database, newest first.
            ever: every user who ever reacted. Without them, no HyperLogLog is made.

        Returns:
            False if the install was refused, because a claim came in between.
        """
        collected = [
            loading.collect(self._keys, post_id, token, number == 0, LOAD_LIFE_MS, chunk)
            for number, chunk in enumerate(_chunks(ever))
        ]
        with translated():
            # A HyperLogLog cannot hold a mark, so each chunk checks that the earlier ones survived.
            if not all(reply == 1 for reply in run_many(self._client, collected)):
                return False
        call = loading.install_sample(
            self._keys,
            post_id,
            token,
            ttl_ms=self._ttl.jittered(self._ttl.viral),
            overlay=MAX_OVERLAY_ENTRIES,
            total=total,
            newest=newest,
        )
        return bool(call.run(self._client))

    def has_uniques(self, post_id: int) -> bool:
        """Return whether the HyperLogLog of a post is cached. One round trip."""
        with translated():
            return bool(Commands(self._client).exists(self._keys.post_uniques(post_id)))

    def grow(self, post_ids: Sequence[int]) -> None:
        """Divide the buckets of hashes that have become too full.

        Each script takes about 2 ms of the server's time. One round trip for each node, repeated
        until no bucket is too full.
        """
        todo = list(post_ids)
        while todo:
            with translated():
                replies = run_many(
                    self._client,
                    [loading.grow(self._keys, post_id, MAX_DIVIDED_BUCKETS) for post_id in todo],
                )
            todo = [post for post, reply in zip(todo, replies, strict=True) if reply == 1]

    def drop(self, post_id: int) -> None:
        """Drop a post's caches, except its HyperLogLog, and refuse the running load.

        A rising post stays rising. Two round trips. They are not atomic, which is safe: any subset
        of these keys may be missing.
        """
        self.drop_many([post_id])

    def drop_many(self, post_ids: Collection[int], *, everything: bool = False) -> None:
        """Drop the caches of posts as ``drop`` does. Two round trips for each node.

        Args:
            everything: also drop the HyperLogLog, the rate of growth, and the flag of a rising
                post.
        """
        reads = [
            Command(words)
            for post_id in post_ids
            for words in (
                ("UNLINK", self._keys.post_loading(post_id)),
                ("HGET", self._keys.post_reactions(post_id), buckets.MARK),
                ("GET", self._keys.post_viral(post_id)),
                ("PEXPIRE", self._keys.post_uniques(post_id), self._ttl.jittered(self._ttl.viral)),
            )
        ]
        replies = run_all(self._client, reads)
        drops = [
            Command(("UNLINK", *_dropped(self._keys, post_id, size, flag, everything)))
            for post_id, size, flag in zip(post_ids, replies[1::4], replies[2::4], strict=True)
        ]
        run_all(self._client, drops)

    def demote(self, post_id: int) -> None:
        """Drop all caches of a viral post, so that the next load treats it as a regular one."""
        with translated():
            Commands(self._client).unlink(
                self._keys.post_viral(post_id),
                self._keys.post_uniques(post_id),
                self._keys.post_rate(post_id),
            )
        self.drop(post_id)  # last: it refuses a load that began while the post was still viral


def _dropped(
    keys: Keys, post_id: int, size: bytes | None, flag: bytes | None, everything: bool
) -> list[str]:
    """The keys of a post that ``drop_many`` drops."""
    first = keys.post_reactions(post_id)
    gone = [
        *(keys.bucket(first, number) for number in range(_size(size))),
        keys.post_reaction_counts(post_id),
        keys.post_summary(post_id),
        keys.post_total_reactions(post_id),
        keys.post_recent(post_id),
    ]
    if everything:
        gone += [keys.post_uniques(post_id), keys.post_rate(post_id)]
    if everything or flag != b"2":
        gone.append(keys.post_viral(post_id))
    return gone


def _size(mark: bytes | None) -> int:
    """Return how many buckets to drop: at least one, else as ``size_of`` of ``buckets.lua``."""
    try:
        size = abs(int(mark or 1))
    except ValueError:
        return 1
    return size if 1 <= size <= buckets.MAX_BUCKETS else 1


def _chunks(items: Iterable[Any]) -> Iterable[list[Any]]:
    rest = iter(items)
    return iter(lambda: list(islice(rest, _CHUNK)), [])

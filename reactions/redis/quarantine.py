"""Isolates foreign data: what somebody else wrote to the keys of this library.

A script that finds a key of the wrong type fails, and with it the drain of the whole shard. Drains
and duties then isolate the foreign data of the shard. A foreign cache key is dropped. A foreign
outbox key is renamed, because somebody may want it back.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from redis.exceptions import RedisError

from reactions.core.constants import SHARDS
from reactions.core.settings import Settings
from reactions.core.validate import is_id
from reactions.redis.command_batch import CommandBatch, Commands
from reactions.redis.connection import Client, is_outage, translated
from reactions.redis.keys import Keys, keys_of

log = logging.getLogger(__name__)

CACHED: Mapping[Callable[[Keys, int], str], str] = {
    Keys.post_reactions: "hash",
    Keys.post_reaction_counts: "hash",
    Keys.post_viral: "string",
    Keys.post_total_reactions: "string",
    Keys.post_recent: "list",
    Keys.post_uniques: "string",
    Keys.post_rate: "string",
    Keys.post_summary: "string",
    Keys.post_loading: "string",
}
"""The cache keys of a post, with their types."""

KEPT: Mapping[Callable[[Keys, int], str], str] = {
    Keys.post_pending: "hash",
    Keys.post_claimed: "hash",
    Keys.post_delta: "hash",
}
"""The outbox keys of a post, with their types."""

OF_SHARD: Mapping[Callable[[Keys, int], str], str] = {
    Keys.outbox_dirty: "zset",
    Keys.outbox_clock: "string",
    Keys.outbox_lease: "string",
    Keys.outbox_wake: "string",
    Keys.outbox_lags: "hash",
    Keys.outbox_epoch: "string",
    Keys.outbox_committed: "string",
    Keys.outbox_deleted: "set",
    Keys.outbox_deletions: "set",
    Keys.outbox_forgetting: "hash",
}
"""The keys of a shard, with their types. All belong to the outbox."""

SUFFIX = ":foreign"
"""What a foreign outbox key is renamed to ends with this."""

POSTS_PER_ROUND_TRIP = 500

_NUMBER = re.compile(rb"-?[0-9]{1,18}")


class Quarantine:
    """Isolates foreign data. Safe to run at any time: it leaves valid keys alone."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)

    def isolate(self, shards: Iterable[int], post_ids: Iterable[int] = ()) -> list[str]:
        """Isolate the foreign data of these shards, their dirty posts, and these posts.

        One round trip for each shard, and about two for each POSTS_PER_ROUND_TRIP posts.

        Returns:
            One line for each finding, which is also logged as critical.

        Raises:
            ReactionsUnavailable: Redis cannot serve.
        """
        with translated():
            found = [line for shard in shards for line in self._shard(shard)]
            rest = iter(sorted(post_ids))
            while some := list(islice(rest, POSTS_PER_ROUND_TRIP)):
                found += self._posts(some)
        for line in found:
            log.critical("isolated foreign data in Redis: %s", line)
        return found

    def isolate_wrong_types(self) -> list[str]:
        """Isolate the foreign data of shards that have a key of the wrong type.

        One round trip for each node if no shard has one. Shards of a node that does not answer are
        left out, unless no node answers.

        Returns:
            One line for each finding.

        Raises:
            ReactionsUnavailable: Redis cannot serve.
        """
        with translated(), CommandBatch(self._client) as pipe:
            for shard in range(SHARDS):
                for key in OF_SHARD:
                    pipe.type(key(self._keys, shard))
            replies = pipe.execute(raise_on_error=False)
            failed = [reply for reply in replies if isinstance(reply, RedisError)]
            if failed and (len(failed) == len(replies) or not all(map(is_outage, failed))):
                raise failed[0]
        found = [b"none" if isinstance(reply, RedisError) else reply for reply in replies]
        kinds = [*OF_SHARD.values()]
        wrong = [
            shard
            for shard in range(SHARDS)
            if any(
                name.decode() not in (kind, "none")
                for kind, name in zip(kinds, found[shard * len(kinds) :], strict=False)
            )
        ]
        return self.isolate(wrong)

    def _shard(self, shard: int) -> Iterator[str]:
        yield from self._types(
            {key(self._keys, shard): kind for key, kind in OF_SHARD.items()}, rename=True
        )
        yield from self._numbers(self._keys.outbox_lags(shard))
        dirty = self._keys.outbox_dirty(shard)
        rest: Iterator[Any] = iter(Commands(self._client).zrange(dirty, 0, -1))
        while some := list(islice(rest, POSTS_PER_ROUND_TRIP)):
            strange = [post for post in some if not is_id(post)]
            if strange:
                Commands(self._client).zrem(dirty, *strange)
                yield f"{dirty} listed {strange[:5]}"[:200]
            yield from self._posts([int(post) for post in some if post not in strange])

    def _posts(self, post_ids: Sequence[int]) -> Iterator[str]:
        cached = {key(self._keys, post): kind for post in post_ids for key, kind in CACHED.items()}
        yield from self._types(cached, rename=False)
        kept = {key(self._keys, post): kind for post in post_ids for key, kind in KEPT.items()}
        yield from self._types(kept, rename=True)

    def _types(self, expected: Mapping[str, str], *, rename: bool) -> Iterator[str]:
        with CommandBatch(self._client) as pipe:
            for key in expected:
                pipe.type(key)
            types = pipe.execute()
        for (key, kind), found in zip(expected.items(), types, strict=True):
            name = found.decode()
            if name in (kind, "none"):
                continue
            if rename:
                Commands(self._client).rename(key, key + SUFFIX)
            else:
                Commands(self._client).unlink(key)
            yield f"{key} was a {name}, not a {kind}"

    def _numbers(self, key: str) -> Iterator[str]:
        """Drop a hash of statistics if it contains anything but numbers."""
        found: Mapping[Any, Any] = Commands(self._client).hgetall(key)
        if not all(_NUMBER.fullmatch(part) for pair in found.items() for part in pair):
            Commands(self._client).unlink(key)
            yield f"{key} contained something other than numbers"

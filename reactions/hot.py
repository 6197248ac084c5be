"""What Redis holds of a post: the reaction itself, and the caches that answer reads."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from redis.exceptions import RedisError

from reactions import keys, scripts
from reactions.client import Client, translate, translated
from reactions.scripts import Reacted
from reactions.settings import LOAD_LIFE_MS, Settings

COMPLETE = 0
"""The field that marks a reactions hash complete; ids start at 1, so it is nobody's."""

OVERLAY_MOST = 10_000
"""Most pending entries an install overlays, so that it holds the server for a few ms at most."""

_CHUNK = 1_000  # rows per HSET while a loaded hash is written


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything Redis holds of one post, in one moment. User -> code, code -> number."""

    complete: bool
    reactions: Mapping[int, int]
    counts: Mapping[int, int]
    pending: Mapping[int, int]
    claimed: Mapping[int, int]
    delta: Mapping[int, int]
    loading: str | None
    """Token of the load under way."""


class Hot:
    """The hot path and the post caches, on one client."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._patience_us = int(settings.wake_patience_s * 1e6)

    def react(self, user_id: int, post_id: int, code: int) -> Reacted:
        """One script, one round trip. A code of 0 removes."""
        return Reacted(*scripts.react(user_id, post_id, code, self._patience_us).run(self._client))

    def react_many(self, items: Iterable[tuple[int, int, int]]) -> list[Reacted | RedisError]:
        """(user, post, code) each; one round trip for each Redis node, replies in order."""
        calls = [scripts.react(*item, self._patience_us) for item in items]
        with translated():
            replies = scripts.run_many(self._client, calls)
        return [reply if isinstance(reply, RedisError) else Reacted(*reply) for reply in replies]

    def counts(self, post_id: int) -> dict[int, int] | None:
        """The cached counts, or None where they are not cached. One round trip."""
        with translated():
            fields = self._client.hgetall(keys.post_reaction_counts(post_id))
        return {int(code): int(count) for code, count in fields.items()} or None

    def fence(self, post_id: int, token: str) -> bool:
        """Announce a load. False when a claim is open, so that nothing read now can be cached."""
        return bool(scripts.fence(post_id, token, LOAD_LIFE_MS).run(self._client))

    def fence_many(self, post_ids: Sequence[int], token: str) -> list[int]:
        """``fence`` for several posts, one round trip for each node: those that have no claim."""
        calls = [scripts.fence(post_id, token, LOAD_LIFE_MS) for post_id in post_ids]
        with translated():
            replies = scripts.run_many(self._client, calls)
        return [post for post, reply in zip(post_ids, replies, strict=True) if reply == 1]

    def install_counts(
        self, post_id: int, token: str, counts: Mapping[int, int]
    ) -> tuple[bool, dict[int, int]]:
        """Cache counts read from the database since ``fence``; what is pending is added.

        Returns:
            Whether they were cached, and database + pending. While a claim is open, what it holds
            may be in neither: then nothing is cached, and the answer is a batch behind.
        """
        installed, *fields = scripts.install_counts(post_id, token, self.ttl_ms(), counts).run(
            self._client
        )
        return bool(installed), _pairs(fields)

    def install_reactions(self, post_id: int, token: str, rows: Mapping[int, int]) -> bool:
        """Cache a post's complete user -> code, read since ``fence``; False when refused."""
        loaded = keys.post_loaded(post_id, token)
        fields = iter({COMPLETE: 1, **rows}.items())
        with translated(), self._client.pipeline(transaction=False) as pipe:
            while chunk := list(islice(fields, _CHUNK)):
                pipe.hset(loaded, items=[number for pair in chunk for number in pair])
                pipe.pexpire(loaded, LOAD_LIFE_MS)  # at once: nobody would, if we died here
            pipe.execute()
        call = scripts.install_reactions(post_id, token, self.ttl_ms(), OVERLAY_MOST, loaded)
        return bool(call.run(self._client))

    def snapshots(self, post_ids: Sequence[int]) -> list[Snapshot]:
        """For verification: one round trip for each node."""
        with translated():
            replies = scripts.run_many(self._client, [scripts.snapshot(p) for p in post_ids])
        return [_snapshot(reply) for reply in replies]

    def ttl_ms(self) -> int:
        """The life of a cache key in ms, jittered: keys written together do not expire together."""
        settings = self._settings
        spread = settings.cache_ttl_jitter * random.random()  # noqa: S311 - not for secrecy
        return int(settings.cache_ttl_s * 1000 * (1 - spread))


def _pairs(flat: Sequence[bytes]) -> dict[int, int]:
    return {int(k): int(v) for k, v in zip(flat[::2], flat[1::2], strict=True)}


def _codes(flat: Sequence[bytes]) -> dict[int, int]:
    """user -> code from ``user, "code:version"`` pairs."""
    return {
        int(user): int(entry.partition(b":")[0])
        for user, entry in zip(flat[::2], flat[1::2], strict=True)
    }


def _snapshot(reply: Any) -> Snapshot:  # noqa: ANN401 - a reply of the server
    if isinstance(reply, RedisError):
        raise translate(reply) from reply
    reactions = _pairs(reply[0])
    complete = reactions.pop(COMPLETE, None) is not None
    return Snapshot(
        complete,
        reactions,
        _pairs(reply[1]),
        _codes(reply[2]),
        _codes(reply[3]),
        _pairs(reply[4]),
        reply[5].decode() if isinstance(reply[5], bytes) else None,
    )

"""Reads the replies of scripts that report on posts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from reactions.redis import buckets
from reactions.redis.connection import is_outage, readable, translate


@dataclass(frozen=True, slots=True)
class PostLookup:
    """What Redis knows about a post and one user's reaction to it."""

    deleted: bool
    viral: bool
    buckets: int
    """The number of buckets: negative for a sample, 0 if neither hash nor sample is cached."""
    code: int | None
    """The code of the user's reaction; 0 for no reaction, None if Redis does not know it."""
    counts: Mapping[int, int]
    """code -> count; empty if the counts are not cached."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that Redis has about one post, read at one moment."""

    buckets: int
    """The number of buckets: negative for a sample, 0 if neither hash nor sample is cached."""
    entries: Sequence[Mapping[int, int] | None]
    """user -> code of each bucket; None for a lost bucket."""
    counts: Mapping[int, int]
    """code -> count."""
    pending: Mapping[int, int]
    """user -> code of the pending changes."""
    versions: Mapping[int, int]
    """user -> version of the pending changes."""
    claimed: Mapping[int, int]
    """user -> code of the claimed changes."""
    delta: Mapping[int, int]
    """code -> how much the pending changes add to the count."""
    loading: str | None
    """The token of the running load."""
    viral: bool
    """The post is treated as viral, because it is viral or rising."""
    rising: bool
    total: int | None
    """The number of reactions of a viral post."""
    recent: Sequence[int]
    """The users of the sample, newest first."""
    dirty: bool
    """The outbox lists the post as dirty, so a drain finds it."""
    immortal: Sequence[str]
    """The post's cache keys that have no TTL, which is an error."""
    summary: bytes | None = None
    """The ready summary, in the form that ``lua/include/summary.lua`` describes."""

    @property
    def complete(self) -> bool:
        """Whether the post has a complete hash with all of its buckets."""
        return self.buckets > 0 and None not in self.entries

    @property
    def sampled(self) -> bool:
        """Whether the post has a sample with all of its parts."""
        return self.buckets < 0 and None not in self.entries and bool(self.recent)

    @property
    def reactions(self) -> dict[int, int]:
        """user -> code, of all buckets."""
        return {user: code for bucket in self.entries for user, code in (bucket or {}).items()}


@dataclass(frozen=True, slots=True)
class Growth:
    """How a post grew, as of its last settlement."""

    per_s: float
    """Reactions a second, exponentially weighted."""
    at_us: int
    """When it was last settled, by the clock of Redis."""
    total: int
    """Its reactions at that time."""


def parse_lookups(
    groups: Iterable[Sequence[int]],
    replies: Iterable[Any],
    failed: dict[int, RedisError] | None = None,
) -> dict[int, PostLookup]:
    """Read the replies to ``PostCache.lookup_calls``, as post -> lookup.

    Args:
        failed: gets the posts whose node does not answer, with the error; without it, the error is
            raised.
    """
    found: dict[int, PostLookup] = {}
    for group, reply in zip(groups, replies, strict=True):
        if failed is not None and is_outage(reply):
            failed |= dict.fromkeys(group, reply)
            continue
        if isinstance(reply, RedisError):
            raise translate(reply) from reply
        with readable():
            for post_id, (tier, size, code, *flat) in zip(group, reply, strict=True):
                found[post_id] = PostLookup(
                    tier == 2, tier == 1, size, None if code < 0 else code, _pairs(flat)
                )
    return found


def installed(reply: Any) -> tuple[bool, dict[int, int]]:  # noqa: ANN401 - a reply of the server
    """Read a reply of ``install_counts``: whether the counts were cached, and code -> count."""
    if isinstance(reply, RedisError):
        raise translate(reply) from reply
    return bool(reply[0]), pairs(reply[1:])


def pairs(flat: Sequence[bytes]) -> dict[int, int]:
    """Read a flat reply of fields and values."""
    with readable():
        return _pairs(flat)


def _pairs(flat: Sequence[bytes]) -> dict[int, int]:
    return {int(k): int(v) for k, v in zip(flat[::2], flat[1::2], strict=True)}


def growth(reply: bytes) -> Growth:
    """Read the value of ``keys.post_rate``."""
    with readable():
        rate, at, total = reply.split(b"|")
        return Growth(float(rate) * 1e6, int(at), int(total))


def _part(flat: Sequence[bytes], part: int) -> dict[int, int]:
    """Read a flat reply of ``user, "code:version"``: user -> code (part 0) or version (part 1)."""
    with readable():
        return {
            int(user): int(entry.split(b":", 1)[part])
            for user, entry in zip(flat[::2], flat[1::2], strict=True)
        }


def snapshot(reply: Any) -> Snapshot:  # noqa: ANN401 - a reply of the server
    """Read a reply of ``snapshot``."""
    counts, pending, claimed, delta, token, viral, total, recent, dirty, immortal, ready, *found = (
        reply
    )
    entries: list[dict[int, int] | None] = []
    size = 0
    for bucket in map(pairs, found):
        mark = bucket.pop(buckets.MARK, None)
        if not entries:
            size = mark or 0
        entries.append(None if mark is None else bucket)
    with readable():
        newest, most = [int(user) for user in recent], None if total is None else int(total)
    return Snapshot(
        size,
        entries,
        pairs(counts),
        _part(pending, 0),
        _part(pending, 1),
        _part(claimed, 0),
        pairs(delta),
        token.decode(errors="replace") if isinstance(token, bytes) else None,
        bool(viral),
        viral == 2,
        most,
        newest,
        bool(dirty),
        [key.decode() for key in immortal],
        ready,
    )

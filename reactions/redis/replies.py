"""What Redis says of a post, read out of the replies of scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from reactions.redis import buckets
from reactions.redis.connection import readable, translate


@dataclass(frozen=True, slots=True)
class PostLookup:
    """What Redis knows of a post, and of one user's reaction on it."""

    deleted: bool
    viral: bool
    buckets: int
    """Of its complete hash; negative for a sample, 0 for neither."""
    code: int | None
    """The user's type code, 0 for no reaction; None when Redis does not know."""
    counts: Mapping[int, int]
    """Empty when they are not cached."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything Redis holds of one post, in one moment. User -> code, code -> number."""

    buckets: int
    """Of the complete hash; negative for a sample, 0 for neither."""
    entries: Sequence[Mapping[int, int] | None]
    """What is in each bucket; None for one that is lost."""
    counts: Mapping[int, int]
    pending: Mapping[int, int]
    versions: Mapping[int, int]
    """user -> version of what is pending."""
    claimed: Mapping[int, int]
    delta: Mapping[int, int]
    loading: str | None
    """Token of the load under way."""
    viral: bool
    rising: bool
    """Viral before its time: on its way."""
    total: int | None
    recent: Sequence[int]
    """The users of the sample, newest first."""
    dirty: bool
    """A drain would find the post."""
    immortal: Sequence[str]
    """Cache keys of the post that have no TTL."""

    @property
    def complete(self) -> bool:
        """The hash has everyone, and no bucket of it is lost."""
        return self.buckets > 0 and None not in self.entries

    @property
    def sampled(self) -> bool:
        """The sample is there, and no part of it is lost."""
        return self.buckets < 0 and None not in self.entries and bool(self.recent)

    @property
    def reactions(self) -> dict[int, int]:
        """All buckets together."""
        return {user: code for bucket in self.entries for user, code in (bucket or {}).items()}


@dataclass(frozen=True, slots=True)
class Growth:
    """How a post grew when a batch of it was last settled."""

    per_s: float
    """Reactions a second, exponentially weighted."""
    at_us: int
    total: int


def parse_lookups(groups: Iterable[Sequence[int]], replies: Iterable[Any]) -> dict[int, PostLookup]:
    """The replies to the calls of ``looks``."""
    found: dict[int, PostLookup] = {}
    for group, reply in zip(groups, replies, strict=True):
        if isinstance(reply, RedisError):
            raise translate(reply) from reply
        with readable():
            for post_id, (tier, size, code, *flat) in zip(group, reply, strict=True):
                found[post_id] = PostLookup(
                    tier == 2, tier == 1, size, None if code < 0 else code, _pairs(flat)
                )
    return found


def installed(reply: Any) -> tuple[bool, dict[int, int]]:  # noqa: ANN401 - a reply of the server
    """A reply of ``install_counts``."""
    if isinstance(reply, RedisError):
        raise translate(reply) from reply
    return bool(reply[0]), pairs(reply[1:])


def pairs(flat: Sequence[bytes]) -> dict[int, int]:
    """Of a reply of fields and values."""
    with readable():
        return _pairs(flat)


def _pairs(flat: Sequence[bytes]) -> dict[int, int]:
    return {int(k): int(v) for k, v in zip(flat[::2], flat[1::2], strict=True)}


def growth(reply: bytes) -> Growth:
    """What is noted of a post's growth."""
    with readable():
        rate, at, total = reply.split(b"|")
        return Growth(float(rate) * 1e6, int(at), int(total))


def _part(flat: Sequence[bytes], part: int) -> dict[int, int]:
    """user -> code (0) or version (1), from ``user, "code:version"`` pairs."""
    with readable():
        return {
            int(user): int(entry.split(b":", 1)[part])
            for user, entry in zip(flat[::2], flat[1::2], strict=True)
        }


def snapshot(reply: Any) -> Snapshot:  # noqa: ANN401 - as above
    """A reply of ``snapshot``."""
    counts, pending, claimed, delta, token, viral, total, recent, dirty, immortal, *found = reply
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
    )

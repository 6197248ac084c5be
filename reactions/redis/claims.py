"""What a drain holds of the outbox, and what becomes of it: the replies of claim and settle."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from reactions.core import latency_histogram as lags
from reactions.core.model import Row
from reactions.core.validate import is_id
from reactions.redis.scripts.drain import (
    BECAME_REGULAR,
    BECAME_VIRAL,
    GROW_HASH,
    LOAD_HASH,
    LOAD_SAMPLE,
    RISING,
)

_VALUE = re.compile(rb"([0-9]{1,5}):([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class BadEntry:
    """A pending entry that cannot be a row; it goes to the dead letters as it is."""

    post: str
    user: str
    value: str


Entry = Row | BadEntry


@dataclass(slots=True)
class ClaimedPost:
    """A post whose changes a drain holds. ``entries`` is None for one too large to reply with."""

    post_id: int
    size: int
    entries: list[Entry] | None
    since: int
    """When the oldest of its changes came, µs by the clock of Redis."""
    taken_over: bool = False
    """A drain that died had claimed them."""

    def rate(self, claimed_at: int) -> float:
        """Changes a second, over at least a second."""
        return self.size / max(1.0, (claimed_at - self.since) / 1e6)


@dataclass(slots=True)
class Claim:
    """What one drain took from one shard."""

    shard: int
    token: str
    claimed_at: int
    """µs by the clock of Redis."""
    more: int
    """Posts of the shard left dirty."""
    posts: list[ClaimedPost]
    lease_us: int
    lags: dict[int, int] = field(default_factory=dict)
    """Upper bound in µs -> reactions of this claim that became durable within it."""
    _started: float = field(default_factory=time.monotonic)
    _held: float = 0.0

    def extended(self, asked: float) -> None:
        """The lease counts from this moment, of the monotonic clock."""
        self._held = asked - self._started

    def until(self) -> int:
        """µs by the clock of Redis until which the lease is certainly ours.

        A tenth less than it is: the clocks of the nodes of a cluster differ.
        """
        return self.claimed_at + int(self._held * 1e6) + self.lease_us * 9 // 10

    def count_lags(self, rows: Sequence[Row]) -> None:
        """Note that these rows are durable now, measured on the clock that gave their versions."""
        now = self.claimed_at + (time.monotonic() - self._started) * 1e6
        for row in rows:
            bound = lags.bound(now - row.version)
            self.lags[bound] = self.lags.get(bound, 0) + 1


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one acknowledgement."""

    lost: bool
    """The lease was another's by then: nothing was changed, the other will settle."""
    contended: bool = False
    """Another drain came by meanwhile and left; its reason may still be pending."""
    hashes: Sequence[int] = ()
    """Posts whose complete hash is to be loaded: fenced with the token of the claim."""
    samples: Sequence[int] = ()
    """Viral posts whose sample is to be loaded: likewise."""
    grows: Sequence[int] = ()
    """Posts whose complete hash is to be spread over more buckets."""
    promoted: Sequence[int] = ()
    demoted: Sequence[int] = ()
    rising: Sequence[int] = ()
    """Posts that are viral now, regular again, on their way to become viral."""


def claimed_posts(found: Sequence[Any]) -> Iterator[ClaimedPost]:
    """The posts of a reply of ``claim``."""
    for post, size, since, taken_over, flat in found:
        name = post.decode()
        entries = [
            entry_of(name, user, value) for user, value in zip(flat[::2], flat[1::2], strict=True)
        ]
        yield ClaimedPost(int(name), size, entries or None, version_of(since), taken_over == 1)


def settled(reply: Any) -> Settled:  # noqa: ANN401 - a reply of the server
    """A reply of ``settle``."""
    if not reply[0]:
        return Settled(lost=True)
    todo: dict[int, list[int]] = {}
    for post, what in zip(reply[3::2], reply[4::2], strict=True):
        todo.setdefault(what, []).append(int(post))
    kinds = (LOAD_HASH, LOAD_SAMPLE, GROW_HASH, BECAME_VIRAL, BECAME_REGULAR, RISING)
    return Settled(False, bool(reply[2]), *(todo.get(kind, []) for kind in kinds))


def entry_of(post: str, user: bytes, value: bytes) -> Entry:
    """What is pending of a user, as it is written: ``type:version``."""
    found = _VALUE.fullmatch(value)
    if found is None or not is_id(user):
        return BadEntry(post, user.decode(errors="replace"), value.decode(errors="replace"))
    return Row(int(post), int(user), int(found[1]), int(found[2]))


def version_of(written: bytes | None) -> int:
    """µs, of a version or a score; 0 of nothing, and of what is none, as ``react.lua`` sees it."""
    digits = (written or b"").isdigit() and len(written or b"") <= 16
    return int(written or 0) if digits and int(written or 0) < 2**53 else 0

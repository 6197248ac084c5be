"""What a drain has claimed from the outbox, and the replies of ``claim`` and ``settle``."""

from __future__ import annotations

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

MAX_ENTRY = 25
"""Bytes of an outbox entry: a code of 5 digits, a colon, a version of 19."""


@dataclass(frozen=True, slots=True)
class BadEntry:
    """An outbox entry that is not a valid row. It becomes a dead letter, unchanged."""

    post: str
    user: str
    value: str


Entry = Row | BadEntry


@dataclass(slots=True)
class ClaimedPost:
    """A post whose changes a drain has claimed."""

    post_id: int
    size: int
    """The number of claimed changes."""
    entries: list[Entry] | None
    """None if the changes are too many for one reply; ``Outbox.scan`` reads them."""
    since: int
    """When the oldest change came, in µs by the clock of Redis."""
    taken_over: bool = False
    """A drain that died had claimed these changes before."""

    def rate(self, claimed_at: int) -> float:
        """Return the changes a second since the oldest one, over one second at least."""
        return self.size / max(1.0, (claimed_at - self.since) / 1e6)


@dataclass(slots=True)
class Claim:
    """What one drain claimed from one shard."""

    shard: int
    token: str
    claimed_at: int
    """µs by the clock of Redis."""
    more: int
    """Dirty posts of the shard that did not fit into this claim."""
    posts: list[ClaimedPost]
    lease_us: int
    lags: dict[int, int] = field(default_factory=dict)
    """upper bound in µs -> reactions of this claim that became durable within it."""
    _started: float = field(default_factory=time.monotonic)
    _extended_after_s: float = 0.0

    def note_extension(self, sent_at: float) -> None:
        """Note that the lease was extended.

        Args:
            sent_at: when the extension was sent, by ``time.monotonic``. The lease may have started
                later, never earlier.
        """
        self._extended_after_s = sent_at - self._started

    def lease_until(self) -> int:
        """Return when this claim's lease may end, in µs by the clock of Redis.

        The result is a tenth of the lease early: the clocks of a cluster's nodes differ.
        """
        extended_us = int(self._extended_after_s * 1e6)
        return self.claimed_at + extended_us + self.lease_us * 9 // 10

    def count_lags(self, rows: Sequence[Row]) -> None:
        """Count how long these rows took to become durable, by the clock of their versions."""
        now = self.claimed_at + (time.monotonic() - self._started) * 1e6
        for row in rows:
            bound = lags.bound(now - row.version)
            self.lags[bound] = self.lags.get(bound, 0) + 1


@dataclass(frozen=True, slots=True)
class Settled:
    """The result of settling one claim."""

    lost: bool
    """Another drain has the lease: nothing was changed, and the other drain settles."""
    contended: bool = False
    """Another drain tried to claim the shard and gave up. New changes may be pending."""
    hashes: Sequence[int] = ()
    """Posts whose complete hash must be loaded; each is fenced with the token of the claim."""
    samples: Sequence[int] = ()
    """Viral posts whose sample must be loaded; each is fenced with the token of the claim."""
    grows: Sequence[int] = ()
    """Posts whose complete hash needs more buckets."""
    promoted: Sequence[int] = ()
    """Posts that became viral."""
    demoted: Sequence[int] = ()
    """Posts that became regular again."""
    rising: Sequence[int] = ()
    """Posts that started to rise."""


def claimed_posts(found: Sequence[Any]) -> Iterator[ClaimedPost]:
    """Read the posts in a reply of ``claim``."""
    for post, size, since, taken_over, flat in found:
        name = post.decode()
        entries = [
            entry_of(name, user, value) for user, value in zip(flat[::2], flat[1::2], strict=True)
        ]
        yield ClaimedPost(int(name), size, entries or None, version_of(since), taken_over == 1)


def settled(reply: Any) -> Settled:  # noqa: ANN401 - a reply of the server
    """Read a reply of ``settle``."""
    if not reply[0]:
        return Settled(lost=True)
    todo: dict[int, list[int]] = {}
    for post, what in zip(reply[3::2], reply[4::2], strict=True):
        todo.setdefault(what, []).append(int(post))
    kinds = (LOAD_HASH, LOAD_SAMPLE, GROW_HASH, BECAME_VIRAL, BECAME_REGULAR, RISING)
    return Settled(False, bool(reply[2]), *(todo.get(kind, []) for kind in kinds))


def entry_of(post: str, user: bytes, value: bytes) -> Entry:
    """Read an outbox entry, ``code:version``."""
    code, _, version = value.partition(b":")
    if is_id(user) and code.isdigit() and version.isdigit() and len(value) <= MAX_ENTRY:
        return Row(int(post), int(user), int(code), int(version))
    return BadEntry(post, user.decode(errors="replace"), value.decode(errors="replace"))


def version_of(written: bytes | None) -> int:
    """Read a version or a score, in µs. As in ``react.lua``, anything but a valid number is 0."""
    digits = (written or b"").isdigit() and len(written or b"") <= 16
    return int(written or 0) if digits and int(written or 0) < 2**53 else 0

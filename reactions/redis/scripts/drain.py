"""Scripts of a drain: claim, settle, and the lease."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from reactions.core.constants import SAMPLE_SIZE, shard_of
from reactions.redis import buckets, keys
from reactions.redis.connection import Argument
from reactions.redis.pipeline import Call, Script

CLAIM = Script("claim", keys=3, include=("lease", "batches"), allow_oom=True)
SETTLE = Script(
    "settle",
    keys=4,
    include=("lease", "batches", "counts", "buckets", "rising", "tiers"),
    allow_oom=True,
)
TRIM = Script("trim", keys=2, include=("lease", "batches"), allow_oom=True)
EXTEND_LEASE = Script("extend_lease", keys=1, include=("lease",), allow_oom=True)


def claim(
    shard: int,
    token: str,
    previous: str,
    *,
    lease_us: int,
    longest_us: int,
    posts: int,
    rows: int,
    inline: int,
) -> Call:
    """Reply: see the header of ``claim.lua``."""
    return CLAIM.call(
        (keys.outbox_dirty(shard), keys.outbox_lease(shard), keys.outbox_wake(shard)),
        (keys.post_prefix(shard), token, previous, lease_us, posts, longest_us, rows, inline),
    )


class Tiers(NamedTuple):
    """What ``settle`` decides the tier of a post by, and how long its keys then live (ms)."""

    viral: int
    low: int
    loading_ms: int
    cold_ms: int
    regular_ms: int
    hot_ms: int
    viral_ms: int
    window_us: int = 1
    """Over which the growth of a post is weighted."""
    horizon_us: int = 0
    """So long before the threshold a post is on its way; 0: never."""
    watched: int = 1
    """Reactions from which its growth is watched."""


class SettledPost(NamedTuple):
    """What ``settle`` writes for one post."""

    post_id: int
    share: int
    """Of the TTL, in thousandths."""
    hot: bool
    drop: int
    """1 to drop what is cached of its users, 2 when the post is deleted."""
    counts: Mapping[int, int]
    taken_over: bool = False
    """Its changes had been claimed by a drain that died: what is pending may be older than the
    claim."""


LOAD_HASH, LOAD_SAMPLE, GROW_HASH, BECAME_VIRAL, BECAME_REGULAR, RISING = range(1, 7)
"""What ``settle`` says became of a post, or is to be done with it."""


def settle(
    shard: int,
    token: str,
    claimed_at: int,
    *,
    tiers: Tiers,
    lags: Mapping[int, int],
    posts: Iterable[SettledPost],
) -> Call:
    """Reply: ``[0]``, or ``[1, posts still dirty, bounced, post, what is to be done, ...]``."""
    args: list[Argument] = [keys.post_prefix(shard), token, claimed_at, tiers.viral, tiers.low]
    args += (SAMPLE_SIZE, buckets.FULL, *tiers[2:], len(lags))
    for bound, number in lags.items():
        args += (bound, number)
    for post in posts:
        args += (post.post_id, post.share, int(post.hot), post.drop, int(post.taken_over))
        args.append(len(post.counts))
        for code, count in post.counts.items():
            args += (code, count)
    return SETTLE.call(
        (
            keys.outbox_dirty(shard),
            keys.outbox_lease(shard),
            keys.outbox_lags(shard),
            keys.outbox_deleted(shard),
        ),
        args,
    )


def trim(post_id: int, token: str, lease_us: int, user_ids: Sequence[Argument]) -> Call:
    """Reply: 1, or 0 when the lease is lost."""
    return TRIM.call(
        (keys.outbox_lease(shard_of(post_id)), keys.post_claimed(post_id)),
        (token, lease_us, *user_ids),
    )


def extend_lease(shard: int, token: str, delay_us: int) -> Call:
    """Reply: 1, or 0 when the lease is lost."""
    return EXTEND_LEASE.call((keys.outbox_lease(shard),), (token, delay_us))

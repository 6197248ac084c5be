"""Scripts of a drain: claim, settle, and the lease."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from reactions.core.constants import SAMPLE_SIZE, shard_of
from reactions.redis import buckets
from reactions.redis.keys import Keys
from reactions.redis.pipeline import Call, Script
from reactions.redis.wire import Argument

CLAIM = Script("claim", keys=3, include=("lease", "batches"), allow_oom=True)
SETTLE = Script(
    "settle",
    keys=5,
    include=("lease", "batches", "counts", "buckets", "rising", "tiers"),
    allow_oom=True,
)
TRIM = Script("trim", keys=3, include=("lease", "batches"), allow_oom=True)
EXTEND_LEASE = Script("extend_lease", keys=1, include=("lease",), allow_oom=True)


def claim(
    keys: Keys,
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
    """Take the oldest pending changes of a shard, under a new lease.

    Args:
        token: the name of this claim; never used before.
        previous: the token of a lease to take over, or "".
        lease_us: how long the new lease lasts.
        longest_us: a lease that ends later than this from now does not count.
        posts: the most posts to take.
        rows: take no further post once there are so many rows.
        inline: reply without the rows of a post that has more.

    Reply: see the header of ``claim.lua``.
    """
    return CLAIM.call(
        (keys.outbox_dirty(shard), keys.outbox_lease(shard), keys.outbox_wake(shard)),
        (keys.post_prefix(shard), token, previous, lease_us, posts, longest_us, rows, inline),
    )


class TierRules(NamedTuple):
    """How ``settle`` decides the tier of a post, and the TTL of its keys in each tier."""

    threshold: int
    """Reactions from which a post is viral."""
    low: int
    """Reactions below which a viral post is regular again."""
    loading_ms: int
    """Life of the token of a load."""
    cold_ms: int
    regular_ms: int
    hot_ms: int
    viral_ms: int
    window_us: int = 1
    """The growth of a post is an average over this window."""
    horizon_us: int = 0
    """A post that will reach the threshold within this time is rising; 0: no post is."""
    measured_from: int = 1
    """Reactions from which ``settle`` measures the growth of a post."""


class SettledPost(NamedTuple):
    """What ``settle`` needs to know of one post."""

    post_id: int
    ttl_share: int
    """The part of the TTL to use, in thousandths: so keys written together expire apart."""
    hot: bool
    """The post gets many reactions: its caches live longer."""
    drop: int
    """0; 1 to drop the cached reactions of its users; 2 when the post is deleted."""
    counts: Mapping[int, int]
    """Type code -> count in the database."""
    taken_over: bool = False
    """A drain that died had claimed the changes, so pending ones may be older than this claim."""


LOAD_HASH, LOAD_SAMPLE, GROW_HASH, BECAME_VIRAL, BECAME_REGULAR, RISING = range(1, 7)
"""What ``settle`` replies of a post: what to load or divide, or which tier the post has now."""


def settle(
    keys: Keys,
    shard: int,
    token: str,
    claimed_at: int,
    *,
    tiers: TierRules,
    lags: Mapping[int, int],
    posts: Iterable[SettledPost],
    transaction: int = 0,
) -> Call:
    """Acknowledge a batch that PostgreSQL has committed, and give the lease back.

    Args:
        claimed_at: when the batch was claimed, in µs.
        lags: upper bound in µs -> reactions of the batch that became durable within it.
        transaction: that of PostgreSQL which committed the batch; 0 if nothing was committed.

    Reply: ``[0]`` when the lease is lost, else ``[1, posts still dirty, contended, post, what,
    ...]``, where ``what`` is one of the constants above.
    """
    args: list[Argument] = [keys.post_prefix(shard), token, claimed_at, tiers.threshold, tiers.low]
    args += (SAMPLE_SIZE, buckets.FULL, *tiers[2:], transaction, len(lags))
    for bound, number in lags.items():
        args += (bound, number)
    for post in posts:
        args += (post.post_id, post.ttl_share, int(post.hot), post.drop, int(post.taken_over))
        args.append(len(post.counts))
        for code, count in post.counts.items():
            args += (code, count)
    return SETTLE.call(
        (
            keys.outbox_dirty(shard),
            keys.outbox_lease(shard),
            keys.outbox_lags(shard),
            keys.outbox_deleted(shard),
            keys.outbox_committed(shard),
        ),
        args,
    )


def trim(
    keys: Keys,
    post_id: int,
    token: str,
    lease_us: int,
    user_ids: Sequence[Argument],
    transaction: int = 0,
) -> Call:
    """Drop committed rows of a large claimed post, and extend the lease to ``lease_us`` from now.

    Args:
        transaction: that of PostgreSQL which committed the rows, or a later one of this drain.

    Reply: 1, or 0 when the lease is lost.
    """
    shard = shard_of(post_id)
    return TRIM.call(
        (keys.outbox_lease(shard), keys.post_claimed(post_id), keys.outbox_committed(shard)),
        (token, lease_us, transaction, *user_ids),
    )


def extend_lease(keys: Keys, shard: int, token: str, delay_us: int) -> Call:
    """Let the lease end ``delay_us`` from now. Reply: 1, or 0 when the lease is lost."""
    return EXTEND_LEASE.call((keys.outbox_lease(shard),), (token, delay_us))

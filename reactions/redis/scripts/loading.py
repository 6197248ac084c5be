"""Scripts that load the caches of a post behind a fence, and that verify them."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence

from reactions.core.constants import SAMPLE_SIZE, shard_of
from reactions.redis import buckets
from reactions.redis.keys import Keys
from reactions.redis.pipeline import Call, Script
from reactions.redis.wire import Argument

GROW = Script("grow", keys=1, include=("batches", "buckets"))
FENCE = Script("fence", keys=4)
INSTALL_COUNTS = Script("install_counts", keys=5, include=("counts",))
INSTALL_REACTIONS = Script("install_reactions", keys=9, include=("buckets",))
COLLECT = Script("collect", keys=1)
INSTALL_SAMPLE = Script("install_sample", keys=10, include=("batches", "buckets"))
SNAPSHOT = Script("snapshot", keys=13, include=("buckets",))


class FenceReply(enum.IntEnum):
    """Reply of ``fence`` when it does not refuse the load (0): what the post is."""

    REGULAR = 1
    VIRAL = 2
    DELETED = 3
    """Every load of this post is refused."""
    RISING = 4
    """It will soon be viral, and is cached like a viral post."""


def grow(keys: Keys, post_id: int, most: int) -> Call:
    """Divide at most ``most`` buckets of a complete hash that has outgrown them.

    Reply: 1 when the caller should call again, else 0.
    """
    return GROW.call((keys.post_reactions(post_id),), (buckets.FULL, most))


def fence(keys: Keys, post_id: int, token: str, life_ms: int, *, give_way: bool = False) -> Call:
    """Announce a load for at most ``life_ms``, before reading the post's rows.

    Args:
        give_way: refuse this load when another one is under way, instead of replacing it.

    Reply: 0 when refused, else a ``FenceReply``.
    """
    return FENCE.call(
        (
            keys.post_claimed(post_id),
            keys.post_loading(post_id),
            keys.post_viral(post_id),
            keys.outbox_deleted(shard_of(post_id)),
        ),
        (token, life_ms, int(give_way), post_id),
    )


def install_counts(
    keys: Keys,
    post_id: int,
    token: str,
    *,
    ttl_ms: int,
    viral_ttl_ms: int,
    viral: int,
    counts: Mapping[int, int],
    keep_token: bool = False,
) -> Call:
    """Cache a post's counts: those of the database, given here, plus what is pending.

    Args:
        viral: reactions from which the post is viral.
        keep_token: the load goes on, and installs something else under the same token.

    Reply: ``[installed, code, count, ...]``; ``installed`` is 0 when the load was refused.
    """
    args: list[Argument] = [token, ttl_ms, viral_ttl_ms, viral, int(keep_token)]
    for code, count in counts.items():
        args += (code, count)
    return INSTALL_COUNTS.call(
        (
            keys.post_reaction_counts(post_id),
            keys.post_delta(post_id),
            keys.post_loading(post_id),
            keys.post_viral(post_id),
            keys.post_summary(post_id),
        ),
        args,
    )


def install_reactions(
    keys: Keys, post_id: int, token: str, *, ttl_ms: int, overlay: int, size: int
) -> Call:
    """Make a loaded hash of ``size`` buckets the complete hash of the post.

    Args:
        overlay: the most pending entries that the script may add; with more, it refuses.

    Reply: 1, or 0 when the load was refused.
    """
    return INSTALL_REACTIONS.call(
        (
            keys.post_reactions(post_id),
            keys.post_pending(post_id),
            keys.post_loading(post_id),
            keys.post_loaded(post_id, token),
            keys.post_viral(post_id),
            keys.post_total_reactions(post_id),
            keys.post_recent(post_id),
            keys.post_uniques(post_id),
            keys.post_summary(post_id),
        ),
        (token, ttl_ms, overlay, size),
    )


def collect(
    keys: Keys, post_id: int, token: str, first: bool, life_ms: int, users: Sequence[int]
) -> Call:
    """Add users to the HyperLogLog of a load; ``first`` creates it, to live for ``life_ms``.

    Reply: 1, or 0 when the key was lost: the load cannot use it.
    """
    return COLLECT.call((keys.post_loaded(post_id, token),), (int(first), life_ms, *users))


def install_sample(
    keys: Keys,
    post_id: int,
    token: str,
    *,
    ttl_ms: int,
    overlay: int,
    total: int,
    newest: Iterable[tuple[int, int]],
) -> Call:
    """Cache a viral or rising post: the sample of its newest reactors, its total, its HyperLogLog.

    Args:
        overlay: the most pending entries that the script may add; with more, it refuses.
        total: reactions of the post in the database.
        newest: (user, code) from the database, newest first.

    Reply: 1, or 0 when the load was refused.
    """
    args: list[Argument] = [
        token,
        ttl_ms,
        overlay,
        SAMPLE_SIZE,
        buckets.count_for(SAMPLE_SIZE),
        total,
    ]
    for user_id, code in newest:
        args += (user_id, code)
    return INSTALL_SAMPLE.call(
        (
            keys.post_reactions(post_id),
            keys.post_pending(post_id),
            keys.post_loading(post_id),
            keys.post_delta(post_id),
            keys.post_viral(post_id),
            keys.post_total_reactions(post_id),
            keys.post_recent(post_id),
            keys.post_uniques(post_id),
            keys.post_loaded(post_id, token),
            keys.post_summary(post_id),
        ),
        args,
    )


def snapshot(keys: Keys, post_id: int, token: str) -> Call:
    """Read everything that Redis has of a post, and give up the load of this token.

    Reply: see the header of ``snapshot.lua``.
    """
    return SNAPSHOT.call(
        (
            keys.post_reactions(post_id),
            keys.post_reaction_counts(post_id),
            keys.post_pending(post_id),
            keys.post_claimed(post_id),
            keys.post_delta(post_id),
            keys.post_loading(post_id),
            keys.post_viral(post_id),
            keys.post_total_reactions(post_id),
            keys.post_recent(post_id),
            keys.post_uniques(post_id),
            keys.outbox_dirty(shard_of(post_id)),
            keys.post_rate(post_id),
            keys.post_summary(post_id),
        ),
        (post_id, token),
    )

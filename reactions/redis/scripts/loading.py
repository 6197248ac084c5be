"""Scripts that fill caches under the fence, and that verify them."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence

from reactions.core.constants import SAMPLE_SIZE, shard_of
from reactions.redis import buckets, keys
from reactions.redis.connection import Argument
from reactions.redis.pipeline import Call, Script

GROW = Script("grow", keys=1, include=("batches", "buckets"))
FENCE = Script("fence", keys=4)
INSTALL_COUNTS = Script("install_counts", keys=4, include=("counts",))
INSTALL_REACTIONS = Script("install_reactions", keys=8, include=("buckets",))
COLLECT = Script("collect", keys=1)
INSTALL_SAMPLE = Script("install_sample", keys=9, include=("batches", "buckets"))
SNAPSHOT = Script("snapshot", keys=12, include=("buckets",))


class Fenced(enum.IntEnum):
    """Reply of ``fence``, other than a refusal."""

    REGULAR = 1
    VIRAL = 2
    DELETED = 3
    """Refused for ever."""
    RISING = 4
    """On its way to become viral, and treated so."""


def grow(post_id: int, most: int) -> Call:
    """Reply: 1 when it is to be called again."""
    return GROW.call((keys.post_reactions(post_id),), (buckets.FULL, most))


def fence(post_id: int, token: str, life_ms: int, *, yields: bool = False) -> Call:
    """Reply: 0 when refused, or what ``Fenced`` names."""
    return FENCE.call(
        (
            keys.post_claimed(post_id),
            keys.post_loading(post_id),
            keys.post_viral(post_id),
            keys.outbox_deleted(shard_of(post_id)),
        ),
        (token, life_ms, int(yields), post_id),
    )


def install_counts(
    post_id: int,
    token: str,
    *,
    ttl_ms: int,
    viral_ttl_ms: int,
    viral: int,
    counts: Mapping[int, int],
    keeps: bool = False,
) -> Call:
    """Reply: ``[installed, code, count, ...]``."""
    args: list[Argument] = [token, ttl_ms, viral_ttl_ms, viral, int(keeps)]
    for code, count in counts.items():
        args += (code, count)
    return INSTALL_COUNTS.call(
        (
            keys.post_reaction_counts(post_id),
            keys.post_delta(post_id),
            keys.post_loading(post_id),
            keys.post_viral(post_id),
        ),
        args,
    )


def install_reactions(post_id: int, token: str, *, ttl_ms: int, overlay: int, size: int) -> Call:
    """Reply: 1, or 0 when the load was refused."""
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
        ),
        (token, ttl_ms, overlay, size),
    )


def collect(post_id: int, token: str, first: bool, life_ms: int, users: Sequence[int]) -> Call:
    """Reply: 1, or 0 when what was collected before is lost."""
    return COLLECT.call((keys.post_loaded(post_id, token),), (int(first), life_ms, *users))


def install_sample(
    post_id: int,
    token: str,
    *,
    ttl_ms: int,
    overlay: int,
    total: int,
    newest: Iterable[tuple[int, int]],
) -> Call:
    """``newest``: (user, code), newest first. Reply: 1, or 0 when the load was refused."""
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
        ),
        args,
    )


def snapshot(post_id: int, token: str) -> Call:
    """Reply: see the header of ``snapshot.lua``."""
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
        ),
        (post_id, token),
    )

"""Scripts of the write path: a reaction, a deleted post, the web tier's limit."""

from __future__ import annotations

from typing import NamedTuple

from reactions.core.constants import SAMPLE_SIZE, shard_of
from reactions.redis import keys
from reactions.redis.pipeline import Call, Script

REACT = Script("react", keys=12, include=("buckets",))
DELETE = Script("delete", keys=14, include=("buckets",), allow_oom=True)
LIMIT = Script("limit", keys=1)


class ReactReply(NamedTuple):
    """Reply of ``react``; a status of 5 is a refusal."""

    status: int
    previous: int
    version: int
    wake: int


def record(user_id: int, post_id: int, code: int, patience_us: int) -> Call:
    """Reply: ``ReactReply(*reply)``. A code of 0 removes."""
    shard = shard_of(post_id)
    return REACT.call(
        (
            keys.post_reactions(post_id),
            keys.post_reaction_counts(post_id),
            keys.post_pending(post_id),
            keys.post_claimed(post_id),
            keys.post_delta(post_id),
            keys.post_recent(post_id),
            keys.post_total_reactions(post_id),
            keys.post_uniques(post_id),
            keys.outbox_dirty(shard),
            keys.outbox_clock(shard),
            keys.outbox_wake(shard),
            keys.outbox_deleted(shard),
        ),
        (user_id, post_id, code, patience_us, SAMPLE_SIZE),
    )


def delete(post_id: int) -> Call:
    """Reply: 1, or 0 when it was deleted before."""
    shard = shard_of(post_id)
    return DELETE.call(
        (
            keys.outbox_deleted(shard),
            keys.outbox_deletions(shard),
            keys.outbox_dirty(shard),
            keys.post_claimed(post_id),
            keys.post_pending(post_id),
            keys.post_delta(post_id),
            keys.post_reactions(post_id),
            keys.post_reaction_counts(post_id),
            keys.post_viral(post_id),
            keys.post_total_reactions(post_id),
            keys.post_recent(post_id),
            keys.post_uniques(post_id),
            keys.post_loading(post_id),
            keys.post_rate(post_id),
        ),
        (post_id,),
    )


def limit(user_id: int, each_us: int, ahead_us: int) -> Call:
    """Reply: 0 when a write may pass, else µs until it may.

    Args:
        each_us: µs that a write takes up.
        ahead_us: µs that may be taken up ahead, at least ``each_us``.
    """
    return LIMIT.call((keys.user_allowance(user_id),), (each_us, ahead_us))

"""Scripts of the write path: a reaction, a deletion, the rate limit of the web tier."""

from __future__ import annotations

from typing import NamedTuple

from reactions.core.constants import SAMPLE_SIZE, shard_of
from reactions.redis.keys import Keys
from reactions.redis.pipeline import Call, Script

REACT = Script("react", keys=13, include=("buckets",))
DELETE = Script("delete", keys=15, include=("buckets",), allow_oom=True)
LIMIT = Script("limit", keys=1)


MAX_SUMMARY_BYTES = 600
"""Bytes of a summary from which ``react.lua`` drops it: about 25 changes since it was written."""


class ReactReply(NamedTuple):
    """Reply of ``react``; the header of ``react.lua`` explains the values."""

    status: int
    previous: int
    version: int
    wake: int


def record(keys: Keys, user_id: int, post_id: int, code: int, patience_us: int) -> Call:
    """Record a user's reaction on a post; a code of 0 removes it.

    Args:
        patience_us: ask again for a wake-up that is unanswered for so long.

    Reply: the fields of a ``ReactReply``.
    """
    return REACT.call(
        keys.of_reaction(post_id),
        (user_id, post_id, code, patience_us, SAMPLE_SIZE, MAX_SUMMARY_BYTES),
    )


def delete(keys: Keys, post_id: int) -> Call:
    """Refuse reactions on a post from now on, and drop what Redis has of it.

    Reply: 1, or 0 when the post was deleted before.
    """
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
            keys.post_summary(post_id),
        ),
        (post_id,),
    )


def limit(keys: Keys, user_id: int, each_us: int, ahead_us: int) -> Call:
    """Let a write of a user pass, or say how long it must wait.

    Args:
        each_us: µs that a write takes up.
        ahead_us: µs ahead of now that may be taken up, at least ``each_us``: the burst.

    Reply: 0 when the write may pass, else µs until it may.
    """
    return LIMIT.call((keys.user_allowance(user_id),), (each_us, ahead_us))

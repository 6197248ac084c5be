"""Scripts of the read path."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reactions.redis.keys import Keys
from reactions.redis.pipeline import Call, Script

LOOKUP_POSTS = Script("lookup_posts", keys=1, include=("buckets", "renewal", "summary"))
RECENT = Script("recent", keys=3, include=("buckets",))


def lookup_posts(
    keys: Keys,
    post_ids: Sequence[int],
    user_id: int,
    shares: Iterable[int],
    *,
    cold_ms: int,
    regular_ms: int,
    viral_ms: int,
    stamped: bool = False,
) -> Call:
    """Read what Redis knows of some posts, in one slot or on one server, and of a user on them.

    Args:
        user_id: 0 for no user.
        shares: the part of the TTL to use, in thousandths, for each post.
        stamped: whether summaries get a stamp, which readers of a cluster need.

    Reply for each post: ``[tier, buckets, code, type code, count, ...]``.
    """
    return LOOKUP_POSTS.call(
        [keys.post_reactions(post_id) for post_id in post_ids],
        (user_id, cold_ms, regular_ms, viral_ms, keys.outbox_word, *shares, int(stamped)),
    )


def recent(keys: Keys, post_id: int, most: int) -> Call:
    """Read the newest ``most`` users of a viral post's sample.

    Reply: ``[user, code, ...]``, or ``[0]`` when the sample cannot answer.
    """
    return RECENT.call(
        (
            keys.post_reactions(post_id),
            keys.post_recent(post_id),
            keys.post_total_reactions(post_id),
        ),
        (most,),
    )

"""Names every Redis key with a function.

A key contains its shard number in braces, for example ``{42}``. Redis Cluster uses this hash tag to
put all keys of one shard into one slot, so one script can access them together.
"""

from __future__ import annotations

from reactions.core.constants import SHARDS


def post_prefix(shard: int) -> str:
    """Prefix of every post key of a shard. Scripts that visit several posts append to it."""
    return f"post:{{{shard}}}:"


def _post(post_id: int, what: str) -> str:
    return f"post:{{{post_id % SHARDS}}}:{post_id}:{what}"


def _user(user_id: int, what: str) -> str:
    return f"user:{{{user_id % SHARDS}}}:{user_id}:{what}"


# -- caches: each key has a TTL, and Redis may evict it at any moment ------------------------------


def post_reactions(post_id: int) -> str:
    """Hash user -> type code: all users of a regular post, or the sample of a viral post.

    This is the first bucket (``redis.buckets``). Its mark, field ``0``, is the number of buckets,
    negative for a sample. A hash without a mark may be incomplete, so nobody reads it.
    """
    return _post(post_id, "reactions")


def bucket(first: str, number: int) -> str:
    """Another bucket of the hash that begins at ``first``. Its mark, field ``0``, is ``1``."""
    return f"{first}:{number}" if number else first


def post_reaction_counts(post_id: int) -> str:
    """Hash type code -> count."""
    return _post(post_id, "reaction_counts")


def post_viral(post_id: int) -> str:
    """String: ``1`` if the post is viral, ``2`` if it is rising; both are treated the same."""
    return _post(post_id, "viral")


def post_total_reactions(post_id: int) -> str:
    """String: the number of reactions of a viral post."""
    return _post(post_id, "total_reactions")


def post_recent(post_id: int) -> str:
    """List of the users in the sample of a viral post, newest first."""
    return _post(post_id, "recent")


def post_uniques(post_id: int) -> str:
    """HyperLogLog of all users who ever reacted to a viral post."""
    return _post(post_id, "uniques")


def post_rate(post_id: int) -> str:
    """String ``growth|at|total``, as of the last settlement.

    ``growth`` is the weighted rate in reactions a µs, ``at`` the time in µs.
    """
    return _post(post_id, "rate")


def user_reactions(user_id: int) -> str:
    """Hash post -> type code (0 for none): some of a user's reactions, as the database has them."""
    return _user(user_id, "reactions")


def user_loading(user_id: int) -> str:
    """String: the token of a read of the user's reactions. A drain that writes them deletes it."""
    return _user(user_id, "loading")


def user_allowance(user_id: int) -> str:
    """String: the time (µs) up to which the user has used up the web tier's rate limit."""
    return _user(user_id, "allowance")


def post_summary(post_id: int) -> str:
    """String: the ready answer to a feed's question; ``lua/include/summary.lua`` has its form."""
    return _post(post_id, "summary")


def post_loading(post_id: int) -> str:
    """String: the token of the running load. A claim deletes it, which refuses the install."""
    return _post(post_id, "loading")


def post_loaded(post_id: int, token: str) -> str:
    """Hash of users (its first bucket) or HyperLogLog that a running load has collected."""
    return _post(post_id, f"loading:{token}")


# -- outbox: changes that PostgreSQL may lack; these keys have no TTL ------------------------------


def post_pending(post_id: int) -> str:
    """Hash user -> ``code:version``: changes that no drain has claimed."""
    return _post(post_id, "pending")


def post_claimed(post_id: int) -> str:
    """Hash user -> ``code:version``: changes that a drain is writing to PostgreSQL."""
    return _post(post_id, "claimed")


def post_delta(post_id: int) -> str:
    """Hash type code -> how much the pending changes add to the count."""
    return _post(post_id, "delta")


def of_reaction(post_id: int) -> tuple[str, ...]:
    """The KEYS of ``react.lua``, in order; made from two prefixes: this is the hot path."""
    shard = post_id % SHARDS
    post, outbox = f"post:{{{shard}}}:{post_id}:", f"outbox:{{{shard}}}:"
    return (
        post + "reactions",
        post + "reaction_counts",
        post + "pending",
        post + "claimed",
        post + "delta",
        post + "recent",
        post + "total_reactions",
        post + "uniques",
        outbox + "dirty",
        outbox + "clock",
        outbox + "wake",
        outbox + "deleted",
        post + "summary",
    )


OF_POST = (
    post_reactions,
    post_reaction_counts,
    post_viral,
    post_total_reactions,
    post_recent,
    post_uniques,
    post_rate,
    post_summary,
    post_loading,
    post_pending,
    post_claimed,
    post_delta,
)
"""Every key of a post, except further buckets and what running loads have collected."""


def _outbox(shard: int, what: str) -> str:
    return f"outbox:{{{shard}}}:{what}"


def outbox_dirty(shard: int) -> str:
    """Sorted set of the posts with pending or claimed changes, by the oldest change (µs)."""
    return _outbox(shard, "dirty")


def outbox_clock(shard: int) -> str:
    """String: the last version that the shard gave out."""
    return _outbox(shard, "clock")


def outbox_lease(shard: int) -> str:
    """String ``token|expiry µs|contended``: who drains the shard, and whether another one tried."""
    return _outbox(shard, "lease")


def outbox_wake(shard: int) -> str:
    """String: when the last wake-up was requested (µs). Absent if none is outstanding."""
    return _outbox(shard, "wake")


def outbox_lags(shard: int) -> str:
    """Hash upper bound in µs -> reactions that became durable within it."""
    return _outbox(shard, "lags")


def outbox_committed(shard: int) -> str:
    """String: the PostgreSQL transaction of the last changes that left the outbox."""
    return _outbox(shard, "committed")


def outbox_confirmed(shard: int) -> str:
    """String ``1``: written before each wait for replicas, so that ``WAIT`` has a write."""
    return _outbox(shard, "confirmed")


def outbox_epoch(shard: int) -> str:
    """String ``incarnation|tick|at``: the epoch, which shows whether the shard lost data."""
    return _outbox(shard, "epoch")


def outbox_types(shard: int = 0) -> str:
    """String: JSON of all reaction types, a copy of the registry in PostgreSQL.

    A single server has it in shard 0 only.
    """
    return _outbox(shard, "types")


def outbox_layout(shard: int = 0) -> str:
    """String ``number|oldest``: the layout of all keys (``core.layout``); where the types are."""
    return _outbox(shard, "layout")


def outbox_deleted(shard: int) -> str:
    """Set of the deleted posts. They refuse reactions."""
    return _outbox(shard, "deleted")


def outbox_deletions(shard: int) -> str:
    """Set of the deleted posts whose rows are still in the database."""
    return _outbox(shard, "deletions")


def outbox_forgetting(shard: int) -> str:
    """Hash user -> ``cutoff|quiet|before``: users to erase, and the steps of the erasures."""
    return _outbox(shard, "forgetting")

"""Every Redis key, made by a named function.

``{42}`` in a key is the shard number in literal braces, the hash tag of Redis Cluster: all keys of
one shard live in one slot, so one script may touch them together.
"""

from __future__ import annotations

from reactions.core.constants import SHARDS


def post_prefix(shard: int) -> str:
    """What every post key of a shard begins with; scripts that walk posts append to it."""
    return f"post:{{{shard}}}:"


def _post(post_id: int, what: str) -> str:
    return f"post:{{{post_id % SHARDS}}}:{post_id}:{what}"


def _user(user_id: int, what: str) -> str:
    return f"user:{{{user_id % SHARDS}}}:{user_id}:{what}"


# -- cache: each has a TTL and may vanish alone at any moment --------------------------------------


def post_reactions(post_id: int) -> str:
    """Hash user -> type code: everyone's of a regular post, the sample's of a viral one.

    The first of its buckets (``reactions.buckets``). Field ``0`` is their number, negative for a
    sample; without it, the hash proves nothing.
    """
    return _post(post_id, "reactions")


def bucket(first: str, number: int) -> str:
    """A further bucket of a hash of users, whose first has the given key; field ``0`` is ``1``."""
    return f"{first}:{number}" if number else first


def post_reaction_counts(post_id: int) -> str:
    """Hash type code -> count."""
    return _post(post_id, "reaction_counts")


def post_viral(post_id: int) -> str:
    """String ``1``: the post is viral; ``2``: it is on its way, and treated so."""
    return _post(post_id, "viral")


def post_total_reactions(post_id: int) -> str:
    """String: the number of reactions of a viral post."""
    return _post(post_id, "total_reactions")


def post_recent(post_id: int) -> str:
    """List of the users in the sample of a viral post, newest first."""
    return _post(post_id, "recent")


def post_uniques(post_id: int) -> str:
    """HyperLogLog of all users who ever reacted on a viral post."""
    return _post(post_id, "uniques")


def post_rate(post_id: int) -> str:
    """String ``growth|at|total``: reactions a µs, weighted, when last settled (µs)."""
    return _post(post_id, "rate")


def user_reactions(user_id: int) -> str:
    """Hash post -> type code, 0 for none: some of a user's reactions, as the database has them."""
    return _user(user_id, "reactions")


def user_loading(user_id: int) -> str:
    """String: the token of a read of the user's reactions; a drain that writes them deletes it."""
    return _user(user_id, "loading")


def user_allowance(user_id: int) -> str:
    """String: until when the user's writes have taken up what the web tier lets pass (µs)."""
    return _user(user_id, "allowance")


def post_loading(post_id: int) -> str:
    """String: the token of the load under way. A claim deletes it, and so refuses the load."""
    return _post(post_id, "loading")


def post_loaded(post_id: int, token: str) -> str:
    """Hash of users (or HyperLogLog) of a load under way: the first of its buckets."""
    return _post(post_id, f"loading:{token}")


# -- outbox: the truth that PostgreSQL does not have yet; never a TTL ------------------------------


def post_pending(post_id: int) -> str:
    """Hash user -> ``type:version``: changes that no drain has taken."""
    return _post(post_id, "pending")


def post_claimed(post_id: int) -> str:
    """Hash user -> ``type:version``: changes that a drain is writing to PostgreSQL."""
    return _post(post_id, "claimed")


def post_delta(post_id: int) -> str:
    """Hash type code -> net change of the counts by what is in pending."""
    return _post(post_id, "delta")


OF_POST = (
    post_reactions,
    post_reaction_counts,
    post_viral,
    post_total_reactions,
    post_recent,
    post_uniques,
    post_rate,
    post_loading,
    post_pending,
    post_claimed,
    post_delta,
)
"""Every key of a post, but for further buckets and loads under way."""


def _outbox(shard: int, what: str) -> str:
    return f"outbox:{{{shard}}}:{what}"


def outbox_dirty(shard: int) -> str:
    """Sorted set of posts with something pending or claimed, by when the oldest came (µs)."""
    return _outbox(shard, "dirty")


def outbox_clock(shard: int) -> str:
    """String: the last version given out."""
    return _outbox(shard, "clock")


def outbox_lease(shard: int) -> str:
    """String ``token|expiry µs|contended``: who drains the shard, and whether another one tried."""
    return _outbox(shard, "lease")


def outbox_wake(shard: int) -> str:
    """String: when a wake-up was last asked for (µs); absent when none is outstanding."""
    return _outbox(shard, "wake")


def outbox_lags(shard: int) -> str:
    """Hash upper bound in µs -> reactions that became durable within it."""
    return _outbox(shard, "lags")


def outbox_confirmed(shard: int) -> str:
    """String ``1``: written ahead of a wait for replicas, so that there is a write to wait for."""
    return _outbox(shard, "confirmed")


def outbox_epoch(shard: int) -> str:
    """String ``incarnation|tick|at``: by which a loss of this shard is noticed."""
    return _outbox(shard, "epoch")


def outbox_deleted(shard: int) -> str:
    """Set of deleted posts; they refuse reactions."""
    return _outbox(shard, "deleted")


def outbox_deletions(shard: int) -> str:
    """Set of deleted posts whose rows are still in the database."""
    return _outbox(shard, "deletions")


def outbox_forgetting(shard: int) -> str:
    """Hash user -> ``cutoff|quiet|before``: those whose reactions are being erased; how far."""
    return _outbox(shard, "forgetting")

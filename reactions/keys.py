"""Every Redis key, made by a named function.

``{42}`` in a key is the shard number in literal braces, the hash tag of Redis Cluster: all keys of
one shard live in one slot, so one script may touch them together.
"""

from __future__ import annotations

from reactions.settings import SHARDS


def shard_of(number: int) -> int:
    """The shard of a post or a user: id % 100 (brief)."""
    return number % SHARDS


def post_prefix(shard: int) -> str:
    """What every post key of a shard begins with; scripts that walk posts append to it."""
    return f"post:{{{shard}}}:"


def _post(post_id: int, what: str) -> str:
    return f"post:{{{post_id % SHARDS}}}:{post_id}:{what}"


# -- cache: each has a TTL and may vanish alone at any moment --------------------------------------


def post_reactions(post_id: int) -> str:
    """Hash user -> type code. Field ``0`` marks it complete; without it, it proves no absence."""
    return _post(post_id, "reactions")


def post_reaction_counts(post_id: int) -> str:
    """Hash type code -> count."""
    return _post(post_id, "reaction_counts")


def post_loading(post_id: int) -> str:
    """String: the token of the load under way. A claim deletes it, and so refuses the load."""
    return _post(post_id, "loading")


def post_loaded(post_id: int, token: str) -> str:
    """Hash user -> type code: the rows of a load under way; its install renames it."""
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


def _outbox(shard: int, what: str) -> str:
    return f"outbox:{{{shard}}}:{what}"


def outbox_dirty(shard: int) -> str:
    """Sorted set of posts with something pending or claimed, by when the oldest came (µs)."""
    return _outbox(shard, "dirty")


def outbox_clock(shard: int) -> str:
    """String: the last version given out."""
    return _outbox(shard, "clock")


def outbox_lease(shard: int) -> str:
    """String ``token|expiry µs|bounced``: who drains the shard, and whether another one tried."""
    return _outbox(shard, "lease")


def outbox_wake(shard: int) -> str:
    """String: when a wake-up was last asked for (µs); absent when none is outstanding."""
    return _outbox(shard, "wake")


def outbox_lags(shard: int) -> str:
    """Hash upper bound in µs -> reactions that became durable within it."""
    return _outbox(shard, "lags")

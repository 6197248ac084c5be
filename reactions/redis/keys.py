"""Names every Redis key.

A key contains its shard number in braces, for example ``{42}``. Redis Cluster uses this hash tag to
put all keys of one shard into one slot, so one script can access them together.

Each space has its own keys, and a ``Keys`` that makes them. The default space has the plain ones,
``post:{42}:1042:pending``, ``outbox:{42}:dirty`` and ``user:{17}:1017:reactions``. The space
``comment`` has ``comment:{42}:1042:pending``, ``outbox:comment:{42}:dirty`` and
``user:{17}:1017:reactions:comment``.
"""

from __future__ import annotations

from functools import cache

from reactions.core.constants import DEFAULT_SPACE, SHARDS


class Keys:
    """The keys of one space. Make them with ``keys_of``: a process needs one of each space.

    Attributes:
        space: the name of the space, which is its key word.
        outbox_word: what every key of the outbox begins with, up to the braces of the shard.
        user_suffix: what every key of a user ends with; nothing in the default space.
    """

    __slots__ = ("_items", "_of_reaction", "_outbox", "outbox_word", "space", "user_suffix")

    def __init__(self, space: str) -> None:
        self.space = space
        default = space == DEFAULT_SPACE
        self.outbox_word = word = "outbox:" if default else f"outbox:{space}:"
        self.user_suffix = "" if default else f":{space}"
        self._items = [f"{space}:{{{shard}}}:" for shard in range(SHARDS)]
        self._outbox = [f"{word}{{{shard}}}:" for shard in range(SHARDS)]
        self._of_reaction = [
            (outbox + "dirty", outbox + "clock", outbox + "wake", outbox + "deleted")
            for outbox in self._outbox
        ]

    def post_prefix(self, shard: int) -> str:
        """Prefix of every post key of a shard. Scripts that visit several posts append to it."""
        return self._items[shard]

    def _post(self, post_id: int, what: str) -> str:
        return f"{self._items[post_id % SHARDS]}{post_id}:{what}"

    def _user(self, user_id: int, what: str) -> str:
        return f"user:{{{user_id % SHARDS}}}:{user_id}:{what}{self.user_suffix}"

    @staticmethod
    def bucket(first: str, number: int) -> str:
        """Another bucket of the hash that begins at ``first``. Its mark, field ``0``, is ``1``."""
        return f"{first}:{number}" if number else first

    # -- caches: each key has a TTL, and Redis may evict it at any moment --------------------------

    def post_reactions(self, post_id: int) -> str:
        """Hash user -> type code: all users of a regular post, or the sample of a viral post.

        This is the first bucket (``redis.buckets``). Its mark, field ``0``, is the number of
        buckets, negative for a sample. A hash without a mark may be incomplete: nobody reads it.
        """
        return self._post(post_id, "reactions")

    def post_reaction_counts(self, post_id: int) -> str:
        """Hash type code -> count."""
        return self._post(post_id, "reaction_counts")

    def post_viral(self, post_id: int) -> str:
        """String: ``1`` if the post is viral, ``2`` if it is rising; both are treated the same."""
        return self._post(post_id, "viral")

    def post_total_reactions(self, post_id: int) -> str:
        """String: the number of reactions of a viral post."""
        return self._post(post_id, "total_reactions")

    def post_recent(self, post_id: int) -> str:
        """List of the users in the sample of a viral post, newest first."""
        return self._post(post_id, "recent")

    def post_uniques(self, post_id: int) -> str:
        """HyperLogLog of all users who ever reacted to a viral post."""
        return self._post(post_id, "uniques")

    def post_rate(self, post_id: int) -> str:
        """String ``growth|at|total``, as of the last settlement.

        ``growth`` is the weighted rate in reactions a µs, ``at`` the time in µs.
        """
        return self._post(post_id, "rate")

    def user_reactions(self, user_id: int) -> str:
        """Hash post -> type code (0: none): some reactions of a user, as the database has them."""
        return self._user(user_id, "reactions")

    def user_loading(self, user_id: int) -> str:
        """String: the token of a read of the user's reactions. A drain that writes deletes it."""
        return self._user(user_id, "loading")

    def user_allowance(self, user_id: int) -> str:
        """String: the time (µs) up to which the user has used up the rate limit, in all spaces."""
        return f"user:{{{user_id % SHARDS}}}:{user_id}:allowance"

    def post_summary(self, post_id: int) -> str:
        """String: the ready answer to a feed's question; see ``lua/include/summary.lua``."""
        return self._post(post_id, "summary")

    def post_loading(self, post_id: int) -> str:
        """String: the token of the running load. A claim deletes it, which refuses the install."""
        return self._post(post_id, "loading")

    def post_loaded(self, post_id: int, token: str) -> str:
        """Hash of users (its first bucket) or HyperLogLog that a running load has collected."""
        return self._post(post_id, f"loading:{token}")

    # -- outbox: changes that PostgreSQL may lack; these keys have no TTL --------------------------

    def post_pending(self, post_id: int) -> str:
        """Hash user -> ``code:version``: changes that no drain has claimed."""
        return self._post(post_id, "pending")

    def post_claimed(self, post_id: int) -> str:
        """Hash user -> ``code:version``: changes that a drain is writing to PostgreSQL."""
        return self._post(post_id, "claimed")

    def post_delta(self, post_id: int) -> str:
        """Hash type code -> how much the pending changes add to the count."""
        return self._post(post_id, "delta")

    def outbox_dirty(self, shard: int) -> str:
        """Sorted set of the posts with pending or claimed changes, by the oldest change (µs)."""
        return self._outbox[shard] + "dirty"

    def outbox_clock(self, shard: int) -> str:
        """String: the last version that the shard gave out."""
        return self._outbox[shard] + "clock"

    def outbox_lease(self, shard: int) -> str:
        """String ``token|expiry µs|contended``: who drains the shard; whether another one tried."""
        return self._outbox[shard] + "lease"

    def outbox_wake(self, shard: int) -> str:
        """String: when the last wake-up was requested (µs). Absent if none is outstanding."""
        return self._outbox[shard] + "wake"

    def outbox_lags(self, shard: int) -> str:
        """Hash upper bound in µs -> reactions that became durable within it."""
        return self._outbox[shard] + "lags"

    def outbox_committed(self, shard: int) -> str:
        """String: the PostgreSQL transaction of the last changes that left the outbox."""
        return self._outbox[shard] + "committed"

    def outbox_confirmed(self, shard: int) -> str:
        """String ``1``: written before each wait for replicas, so that ``WAIT`` has a write."""
        return self._outbox[shard] + "confirmed"

    def outbox_epoch(self, shard: int) -> str:
        """String ``incarnation|tick|at``: the epoch, which shows whether the shard lost data."""
        return self._outbox[shard] + "epoch"

    def outbox_types(self, shard: int = 0) -> str:
        """String: JSON of all reaction types, a copy of the registry in PostgreSQL.

        A single server has it in shard 0 only.
        """
        return self._outbox[shard] + "types"

    def outbox_layout(self, shard: int = 0) -> str:
        """String ``number|oldest``: the layout of all keys of all spaces (``core.layout``)."""
        return f"outbox:{{{shard}}}:layout"

    def outbox_deleted(self, shard: int) -> str:
        """Set of the deleted posts. They refuse reactions."""
        return self._outbox[shard] + "deleted"

    def outbox_deletions(self, shard: int) -> str:
        """Set of the deleted posts whose rows are still in the database."""
        return self._outbox[shard] + "deletions"

    def outbox_forgetting(self, shard: int) -> str:
        """Hash user -> ``cutoff|quiet|before``: users to erase, and the steps of the erasures."""
        return self._outbox[shard] + "forgetting"

    # -- several keys at once ----------------------------------------------------------------------

    def of_post(self, post_id: int) -> tuple[str, ...]:
        """Every key of a post, except further buckets and what running loads have collected."""
        return tuple(make(self, post_id) for make in OF_POST)

    def of_reaction(self, post_id: int) -> tuple[str, ...]:
        """The KEYS of ``react.lua``, in order; made from ready parts: this is the hot path."""
        shard = post_id % SHARDS
        post = f"{self._items[shard]}{post_id}:"
        return (
            post + "reactions",
            post + "reaction_counts",
            post + "pending",
            post + "claimed",
            post + "delta",
            post + "recent",
            post + "total_reactions",
            post + "uniques",
            *self._of_reaction[shard],
            post + "summary",
        )


OF_POST = (
    Keys.post_reactions,
    Keys.post_reaction_counts,
    Keys.post_viral,
    Keys.post_total_reactions,
    Keys.post_recent,
    Keys.post_uniques,
    Keys.post_rate,
    Keys.post_summary,
    Keys.post_loading,
    Keys.post_pending,
    Keys.post_claimed,
    Keys.post_delta,
)


@cache
def keys_of(space: str) -> Keys:
    """Return the keys of a space."""
    return Keys(space)


default_keys = keys_of(DEFAULT_SPACE)
"""The keys of the default space, and the keys that all spaces share."""

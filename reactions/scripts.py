"""Binds each file of ``lua/`` to one typed Python function.

The header of a file is its contract: KEYS, ARGV, reply and cost. A test holds it against this
module and against a real server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from redis.exceptions import NoScriptError

from reactions import keys, resources
from reactions.client import FAILURES, Client, translate

Argument = str | bytes | int


class Call(NamedTuple):
    """One script with the keys and arguments of one call, ready to be sent."""

    script: Script
    keys: Sequence[str]
    args: Sequence[Argument]

    def run(self, client: Client) -> Any:  # noqa: ANN401 - the typed functions below say what it is
        """Send it; the script is sent along when the server does not have it (any more).

        Raises:
            ReactionsUnavailable: Redis does not answer or refuses.
            ScriptError: the script failed.
        """
        try:
            try:
                return client.evalsha(self.script.sha, len(self.keys), *self.keys, *self.args)
            except NoScriptError:
                return client.eval(self.script.source, len(self.keys), *self.keys, *self.args)
        except FAILURES as error:
            raise translate(error) from error


class Script:
    """One file of ``lua/``."""

    def __init__(self, name: str, keys: int, *, frees: bool = False) -> None:
        """``frees``: it makes room in the end, so it runs also where memory is used up."""
        self.name: Final = name
        self.keys: Final = keys
        self.source: Final = ("#!lua flags=allow-oom\n" if frees else "") + resources.lua(name)
        # Redis names a script by its SHA-1; it is an address here, not a protection.
        self.sha: Final = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def call(self, keys: Sequence[str], args: Sequence[Argument]) -> Call:
        return Call(self, keys, args)


def run_many(client: Client, calls: Sequence[Call]) -> list[Any]:
    """Send all calls in one pipeline (one round trip for each node); replies in order.

    An entry is the RedisError where that call failed; the others are not affected.

    Raises:
        RedisError: the connection failed as a whole.
    """
    if not calls:
        return []
    with client.pipeline(transaction=False) as pipe:
        for call in calls:
            pipe.execute_command("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args)
        replies = list(pipe.execute(raise_on_error=False))
        missing = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if missing:
            for i in missing:
                call = calls[i]
                pipe.execute_command(
                    "EVAL", call.script.source, len(call.keys), *call.keys, *call.args
                )
            for i, reply in zip(missing, pipe.execute(raise_on_error=False), strict=True):
                replies[i] = reply
    return replies


REACT = Script("react", keys=8)
CLAIM = Script("claim", keys=3, frees=True)
SETTLE = Script("settle", keys=3, frees=True)
TRIM = Script("trim", keys=2, frees=True)
HOLD = Script("hold", keys=1, frees=True)
FENCE = Script("fence", keys=2)
INSTALL_COUNTS = Script("install_counts", keys=3)
INSTALL_REACTIONS = Script("install_reactions", keys=4)
SNAPSHOT = Script("snapshot", keys=6)

ALL = (
    REACT,
    CLAIM,
    SETTLE,
    TRIM,
    HOLD,
    FENCE,
    INSTALL_COUNTS,
    INSTALL_REACTIONS,
    SNAPSHOT,
)


class Reacted(NamedTuple):
    """Reply of ``react``."""

    status: int
    previous: int
    version: int
    wake: int


def react(user_id: int, post_id: int, code: int, patience_us: int) -> Call:
    """Reply: ``Reacted(*reply)``. A code of 0 removes."""
    shard = keys.shard_of(post_id)
    return REACT.call(
        (
            keys.post_reactions(post_id),
            keys.post_reaction_counts(post_id),
            keys.post_pending(post_id),
            keys.post_claimed(post_id),
            keys.post_delta(post_id),
            keys.outbox_dirty(shard),
            keys.outbox_clock(shard),
            keys.outbox_wake(shard),
        ),
        (user_id, post_id, code, patience_us),
    )


def claim(
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
    """Reply: see the header of ``claim.lua``."""
    return CLAIM.call(
        (keys.outbox_dirty(shard), keys.outbox_lease(shard), keys.outbox_wake(shard)),
        (keys.post_prefix(shard), token, previous, lease_us, posts, longest_us, rows, inline),
    )


class SettledPost(NamedTuple):
    """What ``settle`` writes for one post."""

    post_id: int
    ttl_ms: int
    drop: bool
    counts: Mapping[int, int]


def settle(
    shard: int,
    token: str,
    claimed_at: int,
    *,
    viral: int,
    life_ms: int,
    lags: Mapping[int, int],
    posts: Iterable[SettledPost],
) -> Call:
    """Reply: ``[0]``, or ``[1, posts still dirty, bounced, post fenced for a load, ...]``."""
    args: list[Argument] = [keys.post_prefix(shard), token, claimed_at, viral, life_ms, len(lags)]
    for bound, number in lags.items():
        args += (bound, number)
    for post in posts:
        args += (post.post_id, post.ttl_ms, int(post.drop), len(post.counts))
        for code, count in post.counts.items():
            args += (code, count)
    return SETTLE.call(
        (keys.outbox_dirty(shard), keys.outbox_lease(shard), keys.outbox_lags(shard)), args
    )


def trim(post_id: int, token: str, lease_us: int, user_ids: Sequence[Argument]) -> Call:
    """Reply: 1, or 0 when the lease is lost."""
    return TRIM.call(
        (keys.outbox_lease(keys.shard_of(post_id)), keys.post_claimed(post_id)),
        (token, lease_us, *user_ids),
    )


def hold(shard: int, token: str, delay_us: int) -> Call:
    """Reply: 1, or 0 when the lease is lost."""
    return HOLD.call((keys.outbox_lease(shard),), (token, delay_us))


def fence(post_id: int, token: str, life_ms: int) -> Call:
    """Reply: 1, or 0 when a claim is open."""
    return FENCE.call((keys.post_claimed(post_id), keys.post_loading(post_id)), (token, life_ms))


def install_counts(post_id: int, token: str, ttl_ms: int, counts: Mapping[int, int]) -> Call:
    """Reply: ``[installed, code, count, ...]``."""
    args: list[Argument] = [token, ttl_ms]
    for code, count in counts.items():
        args += (code, count)
    return INSTALL_COUNTS.call(
        (
            keys.post_reaction_counts(post_id),
            keys.post_delta(post_id),
            keys.post_loading(post_id),
        ),
        args,
    )


def install_reactions(post_id: int, token: str, ttl_ms: int, overlay: int, loaded: str) -> Call:
    """Reply: 1, or 0 when the load was refused."""
    return INSTALL_REACTIONS.call(
        (
            keys.post_reactions(post_id),
            keys.post_pending(post_id),
            keys.post_loading(post_id),
            loaded,
        ),
        (token, ttl_ms, overlay),
    )


def snapshot(post_id: int) -> Call:
    """Reply: five flat field-value lists, reactions, counts, pending, claimed, delta; a token."""
    return SNAPSHOT.call(
        (
            keys.post_reactions(post_id),
            keys.post_reaction_counts(post_id),
            keys.post_pending(post_id),
            keys.post_claimed(post_id),
            keys.post_delta(post_id),
            keys.post_loading(post_id),
        ),
        (),
    )

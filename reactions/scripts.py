"""Binds each file of ``lua/`` to one typed Python function.

The header of a file is its contract: KEYS, ARGV, reply and cost. A test holds it against this
module and against a real server.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from reactions import buckets, keys
from reactions.calls import Call, Script
from reactions.client import Argument
from reactions.settings import SAMPLE, USER_POSTS

REACT = Script("react", keys=12, include="buckets")
CLAIM = Script("claim", keys=3, frees=True)
SETTLE = Script("settle", keys=4, include="buckets", frees=True)
TRIM = Script("trim", keys=2, frees=True)
HOLD = Script("hold", keys=1, frees=True)
GROW = Script("grow", keys=1, include="buckets")
FENCE = Script("fence", keys=4)
INSTALL_COUNTS = Script("install_counts", keys=4)
INSTALL_REACTIONS = Script("install_reactions", keys=8, include="buckets")
COLLECT = Script("collect", keys=1)
INSTALL_SAMPLE = Script("install_sample", keys=9, include="buckets")
REMEMBER = Script("remember", keys=1, include="users", spares=True)
DISREMEMBER = Script("remember", keys=1, include="users", frees=True)  # the same, to drop only
RECALL = Script("recall", keys=2, include="users")
LOOK = Script("look", keys=1, include="buckets")
RECENT = Script("recent", keys=3, include="buckets")
DELETE = Script("delete", keys=14, include="buckets", frees=True)
ADVANCE = Script("advance", keys=1, frees=True)
RAISE_CLOCK = Script("raise_clock", keys=1)
MARK = Script("mark", keys=1)
SNAPSHOT = Script("snapshot", keys=12, include="buckets")
LIMIT = Script("limit", keys=1)

ALL = (
    REACT,
    CLAIM,
    SETTLE,
    TRIM,
    HOLD,
    GROW,
    FENCE,
    INSTALL_COUNTS,
    INSTALL_REACTIONS,
    COLLECT,
    INSTALL_SAMPLE,
    REMEMBER,
    RECALL,
    LOOK,
    RECENT,
    DELETE,
    ADVANCE,
    RAISE_CLOCK,
    MARK,
    SNAPSHOT,
    LIMIT,
)


class Reacted(NamedTuple):
    """Reply of ``react``; a status of 5 is a refusal."""

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
            keys.post_recent(post_id),
            keys.post_total_reactions(post_id),
            keys.post_uniques(post_id),
            keys.outbox_dirty(shard),
            keys.outbox_clock(shard),
            keys.outbox_wake(shard),
            keys.outbox_deleted(shard),
        ),
        (user_id, post_id, code, patience_us, SAMPLE),
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


class Tiers(NamedTuple):
    """What ``settle`` decides the tier of a post by, and how long its keys then live (ms)."""

    viral: int
    low: int
    loading_ms: int
    cold_ms: int
    regular_ms: int
    hot_ms: int
    viral_ms: int
    window_us: int = 1
    """Over which the growth of a post is weighted."""
    horizon_us: int = 0
    """So long before the threshold a post is on its way; 0: never."""
    watched: int = 1
    """Reactions from which its growth is watched."""


class SettledPost(NamedTuple):
    """What ``settle`` writes for one post."""

    post_id: int
    share: int
    """Of the TTL, in thousandths."""
    hot: bool
    drop: int
    """1 to drop what is cached of its users, 2 when the post is deleted."""
    counts: Mapping[int, int]
    taken_over: bool = False
    """Its changes had been claimed by a drain that died: what is pending may be older than the
    claim."""


LOAD_HASH, LOAD_SAMPLE, GROW_HASH, BECAME_VIRAL, BECAME_REGULAR, RISING = range(1, 7)
"""What ``settle`` says became of a post, or is to be done with it."""


def settle(
    shard: int,
    token: str,
    claimed_at: int,
    *,
    tiers: Tiers,
    lags: Mapping[int, int],
    posts: Iterable[SettledPost],
) -> Call:
    """Reply: ``[0]``, or ``[1, posts still dirty, bounced, post, what is to be done, ...]``."""
    args: list[Argument] = [keys.post_prefix(shard), token, claimed_at, tiers.viral, tiers.low]
    args += (SAMPLE, buckets.FULL, *tiers[2:], len(lags))
    for bound, number in lags.items():
        args += (bound, number)
    for post in posts:
        args += (post.post_id, post.share, int(post.hot), post.drop, int(post.taken_over))
        args.append(len(post.counts))
        for code, count in post.counts.items():
            args += (code, count)
    return SETTLE.call(
        (
            keys.outbox_dirty(shard),
            keys.outbox_lease(shard),
            keys.outbox_lags(shard),
            keys.outbox_deleted(shard),
        ),
        args,
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
            keys.outbox_deleted(keys.shard_of(post_id)),
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
    args: list[Argument] = [token, ttl_ms, overlay, SAMPLE, buckets.count_for(SAMPLE), total]
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


def remember(
    until_us: int,
    ttl_ms: int,
    shares: Iterable[int],
    users: Mapping[int, Sequence[tuple[int, int]]],
) -> Call:
    """Reply: 1, or 0 when dropped.

    Args:
        until_us: with 0, to drop only, it runs also where memory is used up.
        shares: of the TTL, in thousandths, one for each user.
        users: user -> (post, code) each, in one slot, or on one server.
    """
    args: list[Argument] = [until_us, ttl_ms, USER_POSTS]
    for (user_id, posts), share in zip(users.items(), shares, strict=True):
        args += (user_id, share, len(posts))
        for post_id, code in posts:
            args += (post_id, code)
    script = REMEMBER if until_us else DISREMEMBER
    # One of each shard, so that a cluster that is taken for one server refuses it beforehand.
    names = {keys.shard_of(user_id): keys.user_reactions(user_id) for user_id in users}
    return script.call(list(names.values()), args)


def recall(user_id: int, token: str, ttl_ms: int, found: Mapping[int, int], *, whole: bool) -> Call:
    """``found``: post -> code, 0 for none; ``whole``: all of them. Reply: 1, or 0 when refused."""
    args: list[Argument] = [token, ttl_ms, USER_POSTS, int(whole)]
    for post_id, code in found.items():
        args += (post_id, code)
    return RECALL.call((keys.user_reactions(user_id), keys.user_loading(user_id)), args)


def look(
    post_ids: Sequence[int],
    user_id: int,
    shares: Iterable[int],
    *,
    cold_ms: int,
    regular_ms: int,
    viral_ms: int,
) -> Call:
    """Of posts in one slot, or on one server; ``user_id`` 0 for none.

    Args:
        shares: of the TTL, in thousandths, one for each post.

    Reply for each post: ``[tier, buckets, code, type code, count, ...]``.
    """
    return LOOK.call(
        [keys.post_reactions(post_id) for post_id in post_ids],
        (user_id, cold_ms, regular_ms, viral_ms, *shares),
    )


def recent(post_id: int, most: int) -> Call:
    """Reply: ``[user, code, ...]``, or ``[0]``."""
    return RECENT.call(
        (
            keys.post_reactions(post_id),
            keys.post_recent(post_id),
            keys.post_total_reactions(post_id),
        ),
        (most,),
    )


def delete(post_id: int) -> Call:
    """Reply: 1, or 0 when it was deleted before."""
    shard = keys.shard_of(post_id)
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


def advance(user_id: int, step: str, following: str) -> Call:
    """Reply: 1, or 0 when it was asked for anew."""
    return ADVANCE.call(
        (keys.outbox_forgetting(keys.shard_of(user_id)),), (user_id, step, following)
    )


def raise_clock(shard: int, version: int) -> Call:
    """Reply: 1."""
    return RAISE_CLOCK.call((keys.outbox_clock(shard),), (version,))


def mark(shard: int, read: str, written: str) -> Call:
    """Reply: 1, or 0 when it is not what was read any more."""
    return MARK.call((keys.outbox_mark(shard),), (read, written))


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
            keys.outbox_dirty(keys.shard_of(post_id)),
            keys.post_rate(post_id),
        ),
        (post_id, token),
    )


def limit(user_id: int, each_us: int, ahead_us: int) -> Call:
    """Reply: 0 when a write may pass, else µs until it may.

    Args:
        each_us: µs that a write takes up.
        ahead_us: µs that may be taken up ahead, at least ``each_us``.
    """
    return LIMIT.call((keys.user_allowance(user_id),), (each_us, ahead_us))

"""Scripts that write the cached reactions of a user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from reactions.core.constants import MAX_USER_POSTS, shard_of
from reactions.redis.keys import Keys
from reactions.redis.pipeline import Call, Script
from reactions.redis.wire import Argument

WRITE_THROUGH = Script("write_through_users", keys=1, include=("batches", "users"), deny_oom=True)
DROP_USERS = Script("write_through_users", keys=1, include=("batches", "users"), allow_oom=True)
"""The same script, for calls that only drop."""
INSTALL_USER = Script("install_user", keys=2, include=("users",))


def write_through_users(
    keys: Keys,
    until_us: int,
    ttl_ms: int,
    shares: Iterable[int],
    users: Mapping[int, Sequence[tuple[int, int]]],
) -> Call:
    """Write what a drain has committed to the users' cached reactions, or drop them.

    Args:
        until_us: when the drain's lease ends, by the server's clock: the script drops from then on.
            With 0 it always drops, and runs also when memory is full.
        shares: the part of the TTL to use, in thousandths, for each user.
        users: user -> (post, code), ...; all in one slot or on one server.

    Reply: 1 when the reactions were written, 0 when they were dropped.
    """
    args: list[Argument] = [until_us, ttl_ms, MAX_USER_POSTS]
    for (user_id, posts), share in zip(users.items(), shares, strict=True):
        args += (user_id, share, len(posts))
        for post_id, code in posts:
            args += (post_id, code)
    script = WRITE_THROUGH if until_us else DROP_USERS
    # One key of each shard: a cluster that was configured as one server then refuses the call.
    names = {shard_of(user_id): keys.user_reactions(user_id) for user_id in users}
    return script.call(list(names.values()), args)


def install_user(
    keys: Keys, user_id: int, token: str, ttl_ms: int, found: Mapping[int, int], *, whole: bool
) -> Call:
    """Cache reactions of a user that a read found in the database.

    Args:
        found: post -> code, 0 for no reaction.
        whole: these are all of the user's reactions.

    Reply: 1, or 0 when the load was refused.
    """
    args: list[Argument] = [token, ttl_ms, MAX_USER_POSTS, int(whole)]
    for post_id, code in found.items():
        args += (post_id, code)
    return INSTALL_USER.call((keys.user_reactions(user_id), keys.user_loading(user_id)), args)

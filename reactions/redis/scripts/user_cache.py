"""Scripts of the cached reactions of a user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from reactions.core.constants import MAX_USER_POSTS, shard_of
from reactions.redis import keys
from reactions.redis.connection import Argument
from reactions.redis.pipeline import Call, Script

WRITE_THROUGH = Script("write_through_users", keys=1, include=("batches", "users"), deny_oom=True)
DROP_USERS = Script(
    "write_through_users", keys=1, include=("batches", "users"), allow_oom=True
)  # the same, to drop only


INSTALL_USER = Script("install_user", keys=2, include=("users",))


def write_through_users(
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
    args: list[Argument] = [until_us, ttl_ms, MAX_USER_POSTS]
    for (user_id, posts), share in zip(users.items(), shares, strict=True):
        args += (user_id, share, len(posts))
        for post_id, code in posts:
            args += (post_id, code)
    script = WRITE_THROUGH if until_us else DROP_USERS
    # One of each shard, so that a cluster that is taken for one server refuses it beforehand.
    names = {shard_of(user_id): keys.user_reactions(user_id) for user_id in users}
    return script.call(list(names.values()), args)


def install_user(
    user_id: int, token: str, ttl_ms: int, found: Mapping[int, int], *, whole: bool
) -> Call:
    """``found``: post -> code, 0 for none; ``whole``: all of them. Reply: 1, or 0 when refused."""
    args: list[Argument] = [token, ttl_ms, MAX_USER_POSTS, int(whole)]
    for post_id, code in found.items():
        args += (post_id, code)
    return INSTALL_USER.call((keys.user_reactions(user_id), keys.user_loading(user_id)), args)

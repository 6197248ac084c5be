"""snapshot.lua: everything of one post at one moment."""

from __future__ import annotations

from redis import Redis

from reactions.core.settings import Settings
from reactions.redis.post_snapshots import PostSnapshots
from tests.lua.support import (
    POST,
    react,
)
from tests.support.loads import SingleLoads


def test_a_snapshot_is_everything_of_one_moment(redis: Redis, store: SingleLoads) -> None:
    react(redis, 1, 3)
    store.fence(POST, "t")
    (found,) = PostSnapshots(redis, Settings()).snapshots([POST])
    assert (found.complete, found.reactions, found.counts) == (False, {}, {})
    assert (found.pending, found.claimed, found.delta) == ({1: 3}, {}, {3: 1})
    assert found.loading == "t"

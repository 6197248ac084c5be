"""fence.lua: which loads may begin."""

from __future__ import annotations

from redis import Redis

from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import writes
from reactions.redis.scripts.loading import FenceReply
from tests.lua.support import (
    OTHER,
    POST,
    names,
)
from tests.support.loads import SingleLoads


def test_a_deleted_post_refuses_every_load(redis: Redis, store: SingleLoads) -> None:
    assert store.fence(POST, "t")
    writes.delete(keys, POST).run(redis)
    assert not store.install_counts(POST, "t", {1: 5})[0]
    assert not store.install_reactions(POST, "t", {1: 1})
    assert not store.install_sample(POST, "t", total=1, newest=[(1, 1)], ever=[1])
    assert store.fence_many([POST], "t") == {POST: FenceReply.DELETED}
    assert not store.fence(POST, "t")
    assert names(redis) == set()


def test_a_load_can_give_way_to_a_running_one(store: SingleLoads) -> None:
    assert store.fence_many([POST, OTHER], "a", give_way=True).keys() == {POST, OTHER}
    assert store.fence_many([POST, OTHER], "b", give_way=True) == {}
    assert store.fence_many([POST], "c") == {POST: FenceReply.REGULAR}
    assert not store.install_counts(POST, "a", {1: 1})[0]
    assert store.install_counts(OTHER, "a", {1: 1})[0]

"""``CacheInstall``: loads under the fence, and what a drop leaves."""

from __future__ import annotations

import pytest

from reactions.core.settings import Settings
from reactions.redis.connection import Client
from reactions.redis.keys import default_keys as keys
from reactions.redis.post_cache import PostCache
from reactions.redis.post_snapshots import PostSnapshots
from reactions.redis.scripts.loading import FenceReply
from tests.support.loads import SingleLoads

POST = 1042


@pytest.fixture
def install(client: Client, redis_settings: Settings) -> SingleLoads:
    return SingleLoads(client, redis_settings)


def test_a_released_load_makes_way_for_another_one(install: SingleLoads) -> None:
    assert install.fence_many([POST], "first", give_way=True) == {POST: FenceReply.REGULAR}
    assert install.fence_many([POST], "second", give_way=True) == {}
    install.release([POST])
    assert install.fence_many([POST], "second", give_way=True) == {POST: FenceReply.REGULAR}
    install.release([])


def test_the_load_goes_on_after_its_counts_are_installed(
    install: SingleLoads, client: Client, redis_settings: Settings
) -> None:
    assert install.fence(POST, "t")
    install.install_counts_of_loads({POST: {1: 2}}, "t")
    assert install.install_hashes({POST: "t"}, {POST: {7: 1, 8: 1}}) == 1
    lookup = PostCache(client, redis_settings).lookup(POST)
    assert (lookup.counts, lookup.buckets) == ({1: 2}, 1)
    assert install.install_hashes({POST: "t"}, {POST: {7: 1}}) == 0  # the load has ended


def test_a_drop_keeps_the_hyperloglog_and_ends_the_load(
    install: SingleLoads, client: Client
) -> None:
    assert install.fence(POST, "t")
    newest = [(user, 1) for user in range(1, 13)]
    assert install.install_sample(POST, "t", total=12, newest=newest, ever=range(1, 13))
    assert install.has_uniques(POST)
    assert install.fence(POST, "u")
    install.drop(POST)
    assert client.keys("*") == [keys.post_uniques(POST).encode()]
    assert install.install_hashes({POST: "u"}, {POST: {7: 1}}) == 0


@pytest.mark.parametrize(("flag", "left"), [("1", False), ("2", True)])
def test_a_drop_keeps_a_rising_post_rising(
    install: SingleLoads, client: Client, flag: str, left: bool
) -> None:
    client.set(keys.post_viral(POST), flag)
    install.drop(POST)
    assert bool(client.exists(keys.post_viral(POST))) == left


def test_a_demoted_post_keeps_nothing(install: SingleLoads, client: Client) -> None:
    assert install.fence(POST, "t")
    newest = [(user, 1) for user in range(1, 13)]
    assert install.install_sample(POST, "t", total=12, newest=newest, ever=range(1, 13))
    client.set(keys.post_viral(POST), "2")
    install.demote(POST)
    assert client.dbsize() == 0


def test_a_hash_grows_until_no_bucket_is_too_full(install: SingleLoads, client: Client) -> None:
    rows = dict.fromkeys(range(1, 5_001), 1)
    client.hset(keys.post_reactions(POST), mapping={"0": 1, **{str(u): 1 for u in rows}})
    client.expire(keys.post_reactions(POST), 60)
    install.grow([POST, POST + 1])
    (found,) = PostSnapshots(client, Settings()).snapshots([POST])
    assert found.complete
    assert found.reactions == rows
    assert all(len(bucket or {}) < 512 for bucket in found.entries)

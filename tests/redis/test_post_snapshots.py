"""``PostSnapshots``: what duties and operators check."""

from __future__ import annotations

from reactions.core.settings import Settings
from reactions.redis.connection import Client
from reactions.redis.keys import default_keys as keys
from reactions.redis.post_snapshots import PostSnapshots
from reactions.redis.replies import Growth
from reactions.redis.writes import RedisWrites
from tests.support.loads import SingleLoads

POST = 1042


def test_a_post_lacks_what_a_load_would_bring(client: Client, redis_settings: Settings) -> None:
    snapshots, install = PostSnapshots(client, Settings()), SingleLoads(client, redis_settings)
    assert snapshots.lacking([POST, POST + 1]) == [POST, POST + 1]
    assert install.fence(POST, "t")
    install.install_counts_of_loads({POST: {1: 1}}, "t")
    assert snapshots.lacking([POST]) == [POST]
    assert install.install_reactions(POST, "t", {7: 1})
    assert snapshots.lacking([POST, POST + 1]) == [POST + 1]


def test_growths_are_those_of_watched_posts(client: Client) -> None:
    client.set(keys.post_rate(POST), "0.000002|5|30")
    assert PostSnapshots(client, Settings()).growths([POST, POST + 1]) == {POST: Growth(2.0, 5, 30)}


def test_a_snapshot_says_what_the_outbox_has(client: Client, redis_settings: Settings) -> None:
    version = int(RedisWrites(client, redis_settings).record(7, POST, 3).version)
    found, other = PostSnapshots(client, Settings()).snapshots([POST, POST + 1])
    assert (found.pending, found.versions, found.delta) == ({7: 3}, {7: version}, {3: 1})
    assert (found.dirty, other.dirty) == (True, False)
    assert (found.complete, found.sampled) == (False, False)
    assert found.immortal == []


def test_a_snapshot_ends_the_fence_of_its_caller(client: Client, redis_settings: Settings) -> None:
    snapshots, install = PostSnapshots(client, Settings()), SingleLoads(client, redis_settings)
    for token, left in (("mine", None), ("another", "mine")):
        assert install.fence(POST, "mine")
        assert snapshots.snapshots([POST], token)[0].loading == "mine"
        assert snapshots.snapshots([POST])[0].loading == left

"""The walk over everything that Redis holds."""

from __future__ import annotations

from reactions.core.settings import Settings
from reactions.redis.cached_ids import CachedIds
from reactions.redis.connection import Client
from reactions.redis.keys import default_keys as keys


def test_every_post_and_user_is_found_and_nothing_else(client: Client) -> None:
    posts = set(range(1, 1_400))
    for post_id in posts:
        client.set(keys.post_viral(post_id), 1)
    client.hset(keys.bucket(keys.post_reactions(5_000), 3), "0", "1")
    client.hset(keys.user_reactions(77), "1", "1")
    for foreign in ("post:{1}:2:viral", "post:{7}:007:viral", "post:x", keys.user_allowance(8)):
        client.set(foreign, 1)
    walk = list(CachedIds(client, Settings()).posts())
    assert len(walk) >= 3
    assert set().union(*walk) == posts | {5_000}
    assert list(CachedIds(client, Settings()).users()) == [{77}]

"""``ErasureRequests``: from the request to the confirmation."""

from __future__ import annotations

from reactions.core.settings import Settings
from reactions.redis.connection import Client
from reactions.redis.erasure_requests import ErasureRequests
from reactions.redis.keys import default_keys as keys
from reactions.redis.post_cache import PostCache
from reactions.redis.writes import RedisWrites

POST, USER = 1042, 7


def test_a_deleted_post_stays_deleted_after_its_rows_are_erased(
    client: Client, redis_settings: Settings
) -> None:
    requests, cache = ErasureRequests(client, Settings()), PostCache(client, redis_settings)
    RedisWrites(client, redis_settings).delete_post(POST)
    assert requests.unfinished() == ([POST], {})
    requests.confirm_erased(POST)
    assert requests.unfinished() == ([], {})
    assert cache.deleted([POST, POST + 1]) == {POST}


def test_a_post_is_a_request_until_its_rows_are_erased(
    client: Client, redis_settings: Settings
) -> None:
    requests, cache = ErasureRequests(client, Settings()), PostCache(client, redis_settings)
    requests.mark_deleted({POST: True, POST + 1: False})
    assert cache.deleted([POST, POST + 1]) == {POST, POST + 1}
    assert requests.unfinished() == ([POST + 1], {})


def test_a_new_request_stops_the_steps_of_the_old_one(
    client: Client, redis_settings: Settings
) -> None:
    requests, writes = ErasureRequests(client, Settings()), RedisWrites(client, redis_settings)
    writes.forget_user(USER)
    assert requests.unfinished() == ([], {USER: ""})
    assert requests.advance_erasure(USER, "", "5|")
    assert requests.unfinished() == ([], {USER: "5|"})
    writes.forget_user(USER)
    assert not requests.advance_erasure(USER, "5|", "6|")
    assert requests.advance_erasure(USER, "", "8|")
    assert requests.advance_erasure(USER, "8|", "")
    assert requests.unfinished() == ([], {})


def test_foreign_entries_are_ignored(client: Client) -> None:
    client.sadd(keys.outbox_deletions(3), "abc", "-1", "203")
    client.hset(keys.outbox_forgetting(3), mapping={"x": "1|", "103": "?", "203": "1|"})
    assert ErasureRequests(client, Settings()).unfinished() == ([203], {203: "1|"})

"""(e) Redis alone: two hashes a post, users and counts; as durable as its append-only file.

Tuning: one script of two to four commands, one round trip, one connection with hiredis.
"""

from __future__ import annotations

from collections.abc import Sequence

from redis import Redis

from benchmarks.compare.contenders.base import Client, Contender
from reactions.core.settings import Settings

SCRIPT = """
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before == ARGV[2] or (not before and ARGV[2] == '0') then return 0 end
if before then redis.call('HINCRBY', KEYS[2], before, -1) end
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('HINCRBY', KEYS[2], ARGV[2], 1)
end
return 1
"""


class _RedisAlone:
    def __init__(self, settings: Settings) -> None:
        self._redis = Redis.from_url(settings.redis_url.get_secret_value())
        self._sha = str(self._redis.script_load(SCRIPT))

    def react(self, user: int, post: int, code: int) -> object:
        return self._redis.evalsha(self._sha, 2, f"users:{post}", f"counts:{post}", user, code)

    def feed(self, user: int, posts: Sequence[int]) -> object:
        with self._redis.pipeline(transaction=False) as pipe:
            for post in posts:
                pipe.hgetall(f"counts:{post}")
                pipe.hget(f"users:{post}", str(user))
            return pipe.execute()

    def close(self) -> None:
        self._redis.close()


class RedisAlone(Contender):
    name = "redis"
    title = "(e) Redis alone"
    durable = False

    def connect(self, settings: Settings) -> Client:
        return _RedisAlone(settings)

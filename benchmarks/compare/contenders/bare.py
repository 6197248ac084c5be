"""(a) The bare script through redis-py: the upper limit of this design.

Tuning: one connection with hiredis, keys made once a post, the script loaded before. It does not
parse the reply, wakes no worker, and nothing is drained.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.compare.contenders.base import Client, Contender
from reactions.core.settings import Settings
from reactions.redis.connection import connect
from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import writes
from reactions.redis.wire import Argument

PATIENCE_US = 10_000_000


class _Bare:
    def __init__(self, settings: Settings) -> None:
        self._redis = connect(settings)
        self._redis.script_load(writes.REACT.source)
        self._known: dict[int, tuple[Sequence[str], Sequence[Argument]]] = {}

    def react(self, user: int, post: int, code: int) -> object:
        known = self._known.get(post)
        if known is None:
            call = writes.record(keys, user, post, code, PATIENCE_US)
            known = self._known[post] = call.keys, call.args[3:]
        names, rest = known
        return self._redis.evalsha(writes.REACT.sha, len(names), *names, user, post, code, *rest)

    def feed(self, user: int, posts: Sequence[int]) -> object:
        """The commands of a warm feed, in one pipeline."""
        with self._redis.pipeline(transaction=False) as pipe:
            for post in posts:
                pipe.hgetall(keys.post_reaction_counts(post))
                pipe.get(keys.post_viral(post))
                pipe.hmget(keys.post_reactions(post), ["0", str(user)])
                pipe.hget(keys.post_pending(post), str(user))
                pipe.hget(keys.post_claimed(post), str(user))
            pipe.hmget(keys.user_reactions(user), [str(post) for post in posts])
            return pipe.execute()

    def close(self) -> None:
        self._redis.close()


class Bare(Contender):
    name = "bare"
    title = "(a) the bare script by redis-py"
    durable = False

    def connect(self, settings: Settings) -> Client:
        return _Bare(settings)

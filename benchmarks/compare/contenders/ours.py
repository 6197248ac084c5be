"""This system as a whole: ``react()``, relay, broker, workers and beat with every duty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.compare.contenders.base import Client, Contender
from benchmarks.support.arena import Arena
from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.redis.outbox_state import OutboxState


class _Ours:
    def __init__(self, settings: Settings) -> None:
        self._client = Reactions(settings)
        self._names = {code: name for name, code in settings.reaction_types.items()}

    def react(self, user: int, post: int, code: int) -> object:
        if code:
            return self._client.react(user, post, self._names[code])
        return self._client.unreact(user, post)

    def feed(self, user: int, posts: Sequence[int]) -> object:
        return self._client.summaries(posts, user)

    def close(self) -> None:
        self._client.close()


class Ours(Contender):
    name = "ours"
    title = "this system"

    def connect(self, settings: Settings) -> Client:
        return _Ours(settings)

    def start(self, arena: Arena) -> None:
        arena.start_ours()

    def settled(self, arena: Arena) -> bool:
        # A post with anything pending is dirty; this needs one command for each shard.
        return not OutboxState(arena.redis, arena.settings).dirty_posts()

    def tally(self, arena: Arena) -> tuple[Counter[int], Counter[int]]:
        return _tally(arena, "SELECT reaction, count(*) FROM reactions"), _tally(
            arena, "SELECT reaction, sum(count)::bigint FROM reaction_counts"
        )


def _tally(arena: Arena, sql: str) -> Counter[int]:
    found = arena.execute(f"{sql} WHERE reaction > 0 GROUP BY 1")
    return Counter({int(code): int(number) for code, number in found if number})

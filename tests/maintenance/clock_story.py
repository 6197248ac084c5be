"""What users did while the clock of Redis jumped, and what everybody must see after a repair."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from reactions.core.constants import shard_of
from reactions.core.model import Status
from reactions.maintenance.clock_repair import ClockRepair
from reactions.postgres.version_moves import VersionMoves
from reactions.redis.keys import default_keys as keys
from tests.maintenance.erasing import DiedError
from tests.support.engine import Engine

HOUR_US = 3_600_000_000
POSTS = (1042, 1142, 43, 77)
"""Two posts of one shard, and two of others."""
USERS = (1, 2, 3)
MOVES = ("move_older_letters", "move_rows", "move_newest_letters", "lower_posts", "lower_forgotten")
"""Steps of a repair in PostgreSQL."""


class Story:
    """What users did, in order. The clock jumps, and goes on within a jump."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.done: list[tuple[int, int, str | None]] = []

    def react(self, user: int, post: int, name: str | None, ahead_us: int = 0) -> None:
        """React, or remove the reaction, while the clock of Redis is so far ahead."""
        clock = keys.outbox_clock(shard_of(post))
        if ahead_us:
            last: Any = self.engine.client.get(clock)
            now = int(self.engine.clock.now_us())
            self.engine.client.set(clock, max(now + ahead_us, int(last or 0)))
        (outcome,) = self.engine.reactions.react_many([(user, post, name)])
        if outcome.status is not Status.UNCHANGED:
            self.done.append((user, post, name))

    def lose_drain(self, shard: int) -> None:
        """A drain of this shard dies after its claim."""
        self.engine.outbox.claim({shard: ""})
        self.engine.client.delete(keys.outbox_lease(shard))

    def check(self, *, one_clock: bool = True) -> None:
        """Everybody sees what was done, in that order, and no time is in the future.

        Args:
            one_clock: all shards were ahead by as much. Otherwise only the order within a shard is
                known.
        """
        now = self.engine.clock.now_us()
        newest = {(user, post): (n, name) for n, (user, post, name) in enumerate(self.done)}
        left = sorted((n, u, p, name) for (u, p), (n, name) in newest.items() if name)[::-1]
        for user in USERS:
            found = self.engine.reactions.history(user).items
            assert all(r.version <= now for r in found)
            for shard in {0} if one_clock else set(map(shard_of, POSTS)):
                assert [
                    (r.post_id, r.reaction)
                    for r in found
                    if one_clock or shard_of(r.post_id) == shard
                ] == [
                    (p, name)
                    for _, u, p, name in left
                    if u == user and (one_clock or shard_of(p) == shard)
                ]
        for post in POSTS:
            page = self.engine.reactions.reactors(post)
            assert [(r.user_id, r.reaction) for r in page.items] == [
                (u, name) for _, u, p, name in left if p == post
            ]
        assert self.engine.verify().holds

    def go_on(self) -> None:
        """Everybody reacts everywhere once more; no reaction is lost."""
        names = itertools.cycle(("sad", "wow"))
        for user, post in itertools.product(USERS, POSTS):
            self.react(user, post, next(names))
        self.engine.drain()
        self.check(one_clock=False)


def repair(story: Story) -> ClockRepair:
    engine = story.engine
    return ClockRepair(engine.client, engine.database, engine.settings)


def mortal(story: Story, patch: pytest.MonkeyPatch, life: int, *, after: bool) -> ClockRepair:
    """A repair that dies just before, or just after, one of its steps."""
    duty = repair(story)
    steps = itertools.count()

    def wrap(method: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            if next(steps) == life:
                if after:
                    method(*args, **options)
                raise DiedError
            return method(*args, **options)

        return step

    for name in MOVES:
        patch.setattr(VersionMoves, name, wrap(getattr(VersionMoves, name)))
    patch.setattr(duty._requests, "start_over", wrap(duty._requests.start_over))
    patch.setattr(duty._clock, "set_back", wrap(duty._clock.set_back))
    return duty

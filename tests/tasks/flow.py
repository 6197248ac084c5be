"""A steady flow of reactions, and a check that each of them becomes durable."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from reactions.api.client import Reactions
from reactions.maintenance.verify import mismatched
from tests.support.engine import Engine
from tests.support.waiting import wait_until

PAUSE_S = 0.002  # about 400 reactions a second leave the servers room on two cores
USERS, POSTS = 40, 300


class Flow:
    """Reacts from one thread while entered, and notes every acknowledged reaction."""

    def __init__(self, reactions: Reactions, seed: int = 1) -> None:
        self.acknowledged = 0
        self.expected: dict[int, dict[int, int]] = defaultdict(dict)
        self._reactions = reactions
        self._random = random.Random(seed)  # noqa: S311 - not for secrecy
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(1, "flow")

    def __enter__(self) -> Self:
        self._running = self._pool.submit(self._run)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._pool.shutdown()
        if error is None:
            self._running.result()  # a reaction that failed fails the test

    def wait(self, more: int) -> None:
        """Wait until this many more reactions are acknowledged."""
        target = self.acknowledged + more
        wait_until(lambda: self.acknowledged >= target or self._running.done(), what="the flow")

    def _run(self) -> None:
        types = self._reactions.settings.reaction_types
        while not self._stopping.wait(PAUSE_S):
            user, post = self._random.randint(1, USERS), self._random.randint(1, POSTS)
            if self._random.random() < 0.2:
                self._reactions.unreact(user, post)
                self.expected[post].pop(user, None)
            else:
                name = self._random.choice(list(types))
                self._reactions.react(user, post, name)
                self.expected[post][user] = types[name]
            self.acknowledged += 1


def assert_durable(engine: Engine, flow: Flow, seconds: float = 30) -> None:
    """Check that the acknowledged reactions, and no others, become rows, and the counts agree."""
    wait_until(lambda: engine.outbox_state.pending() == 0, seconds, "everything is durable")
    differences: list[str] = []
    assert mismatched(engine.database, flow.expected, differences.append) == 0, differences[:5]
    found = engine.verify()
    assert found.holds, found.examples
    assert found.dead_letters == 0

"""The working set, and one thread that reacts on it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.support.ids import spread_id
from reactions.api.client import Reactions
from reactions.core.errors import ReactionsError
from reactions.core.settings import Settings

USERS = 200_000

FIRST_REGULAR, FIRST_VIRAL = 1_000, 900_000

LARGEST = 2_000
"""Reactions on the largest regular post."""

KNOWN = 0.3
"""Share of writes by users who reacted on that post before."""

REMOVALS = 0.05

Pair = tuple[int, int]
"""(post, user)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The working set (regular posts, viral posts, reactions on the regular ones) and the load."""

    posts: int
    viral: int
    rows: int
    rate: float
    workers: int


@dataclass(frozen=True, slots=True)
class Written:
    """One acknowledged reaction; it has no version if nothing had to be written."""

    pair: Pair
    code: int
    version: int | None


def sizes(posts: int, rows: int) -> dict[int, int]:
    """post -> reactions: Zipf's law from 1 to LARGEST, about ``rows`` in total."""

    def law(most: float) -> list[int]:
        return [max(1, min(LARGEST, int(most / rank))) for rank in range(1, posts + 1)]

    low, high = 1.0, float(LARGEST * posts)
    while high - low > 1:
        middle = (low + high) / 2
        low, high = (middle, high) if sum(law(middle)) < rows else (low, middle)
    return dict(enumerate(law(high), start=FIRST_REGULAR))


class Writer:
    """A thread that reacts at a steady rate on random posts, and keeps what was acknowledged."""

    def __init__(self, settings: Settings, world: Mapping[int, int], rate: float) -> None:
        self._settings = settings
        self._world = world
        self._rate = rate
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.written: list[Written] = []
        self.took: list[float] = []
        """Duration of each call, in ms."""
        self.failed = 0

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        chance, posts = random.Random(1), list(self._world)
        names: dict[int, str | None] = {0: None}
        names |= {code: name for name, code in self._settings.reaction_types.items()}
        due = time.monotonic()
        with Reactions(self._settings) as client:
            while not self._end.wait(max(0.0, due - time.monotonic())):
                due += 1 / self._rate
                post = chance.choice(posts)
                number = chance.randint(1, USERS)
                if chance.random() < KNOWN:
                    number = 1 + (post * 7_919 + chance.randint(1, self._world[post])) % USERS
                code = 0 if chance.random() < REMOVALS else chance.randint(1, len(names) - 1)
                self._react(client, spread_id(number, 31), post, code, names[code])

    def _react(self, client: Reactions, user: int, post: int, code: int, name: str | None) -> None:
        began = time.perf_counter()
        try:
            outcome = client.react(user, post, name) if name else client.unreact(user, post)
        except ReactionsError:
            self.failed += 1
            return
        self.took.append((time.perf_counter() - began) * 1e3)
        self.written.append(Written((post, user), code, outcome.version))

"""Takes turns: each side reads for a moment, and the processor time of each part is measured."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from statistics import median
from typing import Any, NamedTuple

from benchmarks.scenarios.feeds.sides import POSTGRES, Side
from benchmarks.support import processor
from benchmarks.support.output import Show
from benchmarks.support.statistics import spread
from reactions.demo.replay import quantile


class Case(NamedTuple):
    """One kind of read; ``dirty`` of its ``posts`` have changes that are not durable."""

    read: str
    posts: int
    dirty: int = 0
    somebody: bool = True

    @property
    def name(self) -> str:
        if self.read != "summaries":
            return self.read
        whose = "" if self.somebody else ", nobody's"
        size = "1 post" if self.posts == 1 else f"{self.posts} posts"
        return f"{size}{f', {self.dirty} dirty' if self.dirty else ''}{whose}"


CASES = (
    Case("summaries", 20),
    Case("summaries", 20, somebody=False),
    Case("summaries", 1),
    Case("summaries", 200),
    Case("summaries", 20, dirty=1),
    Case("summaries", 20, dirty=5),
    Case("summaries", 20, dirty=20),
    Case("reaction_of", 1),
    Case("counts", 1, somebody=False),
)


class Turn(NamedTuple):
    """What one turn took a call, in µs."""

    client: float
    redis: float
    postgres: float

    @property
    def together(self) -> float:
        return self.client + self.redis + self.postgres


@dataclass(slots=True)
class Runs:
    """All turns of one side in one case; ``times`` has each call, in µs."""

    turns: list[Turn] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        parts = {part: round(median(getattr(t, part) for t in self.turns), 1) for part in PARTS}
        ordered = sorted(self.times)
        return {
            **parts,
            "p50": round(quantile(ordered, 0.5), 1),
            "p99": round(quantile(ordered, 0.99), 1),
            "calls": len(ordered),
        }


PARTS = ("client", "redis", "postgres", "together")

Found = Mapping[str, Runs]
"""Side -> its runs."""


class Turns:
    """Measures the sides of one case, each for ``seconds`` a round."""

    def __init__(self, postmaster: int, users: Sequence[int], seconds: float, rounds: int) -> None:
        self._postmaster = postmaster
        self._users = users
        self._seconds = seconds
        self._rounds = rounds

    def run(
        self, case: Case, sides: Sequence[Side], feeds: Sequence[Sequence[int]], show: Show
    ) -> Found:
        found = {side.name: Runs() for side in sides}
        for side in sides:
            self._turn(side, case, feeds, Runs(), self._seconds / 3)  # caches of the process
        for number in range(self._rounds):
            turn = number % len(sides)
            for side in [*sides[turn:], *sides[:turn]]:
                self._turn(side, case, feeds, found[side.name], self._seconds)
            show(case.name, number + 1, self._rounds)
        return found

    def _turn(
        self, side: Side, case: Case, feeds: Sequence[Sequence[int]], runs: Runs, seconds: float
    ) -> None:
        read, times, clock = side.reads[case.read], list[float](), time.perf_counter
        users = self._users if case.somebody else (0,)
        before = self._servers(side)
        client, until = time.process_time(), clock() + seconds
        for posts, user in zip(cycle(feeds), cycle(users), strict=False):
            began = clock()
            read(user, posts)
            ended = clock()
            times.append((ended - began) * 1e6)
            if ended > until:
                break
        client = time.process_time() - client
        after = self._servers(side)
        used = (client, *(b - a for a, b in zip(before, after, strict=True)))
        runs.turns.append(Turn(*(seconds * 1e6 / len(times) for seconds in used)))
        runs.times += times

    def _servers(self, side: Side) -> tuple[float, float]:
        return processor.used_by(side.redis), processor.tree_s(self._postmaster)


def ratios(found: Found, ours: str) -> dict[str, Any]:
    """Ours to PostgreSQL alone, turn by turn; the ratio of p50 is that of all calls."""
    mine, other = found[ours], found[POSTGRES]
    pairs = list(zip(mine.turns, other.turns, strict=True))
    return {
        "together": spread([a.together / b.together for a, b in pairs]),
        "client": spread([a.client / b.client for a, b in pairs]),
        "p50": round(median(mine.times) / median(other.times), 2),
    }

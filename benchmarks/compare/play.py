"""Plays one workload against one contender: full speed, until everything is durable."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from benchmarks.compare import mix
from benchmarks.compare.contenders.base import Contender
from benchmarks.compare.web import Made, Web
from benchmarks.compare.workloads import Workload
from benchmarks.support.arena import Arena, wait
from reactions.demo.replay import quantile

IDLE_S = 4.0
"""How long idle costs are measured before a mix, in seconds: every duty of seconds runs twice."""

Tally: TypeAlias = "tuple[Counter[int], Counter[int]]"
"""Type code -> number of reactions: in the rows, and in the counts."""


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one run. Rates are 1/s, times are µs.

    Attributes:
        accepted: reactions a second, over the time in which the web processes worked.
        durable: reactions a second, over the time until all were in PostgreSQL; 0 without it.
        feeds: feeds a second.
        operations: reactions and feeds a second, over the time in which the web processes worked.
        reached: of 1,000 feeds, how many asked PostgreSQL, by the reason.
        cpu_ms: processor time of each part for 1,000 operations, until all were durable.
        idle_ms: processor time of each part in a second in which nothing happens; only for a mix.
        exact: whether rows and counts agree with what was acknowledged; None without rows.
    """

    reactions: int
    accepted: float
    durable: float
    feeds: float
    operations: float
    reached: dict[str, float]
    react_p50: float
    react_p99: float
    feed_p50: float
    feed_p99: float
    cpu_ms: dict[str, float]
    idle_ms: dict[str, float]
    exact: bool | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def play(
    arena: Arena,
    contender: Contender,
    workload: Workload,
    *,
    seed: int,
    seconds: float,
    writers: int,
    rate: float | None = None,
) -> Result:
    """Play on empty stores, or on those that a mix has filled.

    Args:
        seed: the same seed gives the same operations.
        writers: number of web processes, unless the contender has its own number.
        rate: limit of the operations a second of all clients together.

    Raises:
        TimeoutError: the operations did not become durable within PATIENCE_S.
    """
    if workload.mix is None:
        arena.empty()
    else:
        mix.prepare(arena, workload.mix)
    base = contender.tally(arena)
    contender.start(arena)
    try:
        if workload.mix:
            contender.warm(arena, mix.ALL_POSTS, range(1, mix.READERS + 1))
        with Web(arena, contender, workload, seed, seconds, writers, rate) as web:
            web.lead_in()
            wait(lambda: contender.settled(arena))
            idle = _idle(arena) if workload.mix else {}
            before = arena.cpu()
            web.go()
            contender.finish(arena)
            wait(lambda: contender.settled(arena))
            settled = time.monotonic()
            after = arena.cpu()
            made = web.made()
        cpu = {"web": made.cpu} | {part: after[part] - before[part] for part in after}
        until = made.ended if contender.inline else settled
        return _result(contender, made, until, cpu, idle, _added(contender.tally(arena), base))
    finally:
        arena.stop_workers()


def _idle(arena: Arena) -> dict[str, float]:
    """Processor ms of each part in a second in which no web process works."""
    before = arena.cpu()
    time.sleep(IDLE_S)
    return {part: round((s - before[part]) * 1e3 / IDLE_S, 1) for part, s in arena.cpu().items()}


def _added(after: Tally, before: Tally) -> Tally:
    rows, counts = (
        Counter({code: now[code] - first[code] for code in now})
        for now, first in zip(after, before, strict=True)
    )
    return rows, counts


def _result(
    contender: Contender,
    made: Made,
    settled: float,
    cpu: dict[str, float],
    idle: dict[str, float],
    tally: Tally,
) -> Result:
    seconds = made.ended - made.began
    react, feed = sorted(made.react), sorted(made.feed)
    thousands = made.operations / 1_000
    rows, counts = tally
    return Result(
        reactions=len(react),
        accepted=round(len(react) / seconds, 1),
        durable=round(len(react) / (settled - made.began), 1) if contender.durable else 0.0,
        feeds=round(len(feed) / seconds, 1),
        operations=round(made.operations / seconds, 1),
        reached={why: round(n * 1e3 / max(1, len(feed)), 1) for why, n in made.reached.items()},
        react_p50=round(quantile(react, 0.5), 1),
        react_p99=round(quantile(react, 0.99), 1),
        feed_p50=round(quantile(feed, 0.5), 1),
        feed_p99=round(quantile(feed, 0.99), 1),
        cpu_ms={part: round(spent * 1e3 / thousands, 1) for part, spent in cpu.items()},
        idle_ms=idle,
        exact=rows == counts == made.outcome if contender.durable else None,
    )

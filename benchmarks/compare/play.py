"""Plays one workload against one contender: full speed, until everything is durable."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.compare.contenders.base import Contender
from benchmarks.compare.web import Made, Web
from benchmarks.compare.workloads import Workload
from benchmarks.support.arena import Arena, wait
from reactions.demo.replay import quantile


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one run. Rates are 1/s, times are µs.

    Attributes:
        accepted: reactions a second, over the time in which the web processes worked.
        durable: reactions a second, over the time until all were in PostgreSQL; 0 without it.
        feeds: feeds a second.
        cpu_ms: processor time of each part for 1,000 operations, until all were durable.
        exact: whether rows and counts agree with what was acknowledged; None without rows.
    """

    reactions: int
    accepted: float
    durable: float
    feeds: float
    react_p50: float
    react_p99: float
    feed_p50: float
    feed_p99: float
    cpu_ms: dict[str, float]
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
    """Play on empty stores.

    Args:
        seed: the same seed gives the same operations.
        writers: number of web processes, unless the contender has its own number.
        rate: limit of the operations a second of all clients together.

    Raises:
        TimeoutError: the operations did not become durable within PATIENCE_S.
    """
    arena.empty()
    contender.start(arena)
    try:
        with Web(arena, contender, workload, seed, seconds, writers, rate) as web:
            before = arena.cpu()
            web.go()
            contender.finish(arena)
            wait(lambda: contender.settled(arena))
            settled = time.monotonic()
            after = arena.cpu()
            made = web.made()
        cpu = {"web": made.cpu} | {part: after[part] - before[part] for part in after}
        until = made.ended if contender.inline else settled
        return _result(contender, made, until, cpu, contender.tally(arena))
    finally:
        arena.stop_workers()


def _result(
    contender: Contender,
    made: Made,
    settled: float,
    cpu: dict[str, float],
    tally: tuple[Counter[int], Counter[int]],
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
        react_p50=round(quantile(react, 0.5), 1),
        react_p99=round(quantile(react, 0.99), 1),
        feed_p50=round(quantile(feed, 0.5), 1),
        feed_p99=round(quantile(feed, 0.99), 1),
        cpu_ms={part: round(spent * 1e3 / thousands, 1) for part, spent in cpu.items()},
        exact=rows == counts == made.outcome if contender.durable else None,
    )

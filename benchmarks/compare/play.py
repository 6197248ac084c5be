"""One contender plays one workload: web processes as fast as they are let, until all is durable."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Self

from benchmarks.compare.contenders.base import Client, Contender
from benchmarks.compare.workloads import FEED, Operation, Workload, outcome
from benchmarks.support import processes
from benchmarks.support.arena import PATIENCE_S, Arena, wait
from reactions.core.settings import Settings
from reactions.demo.replay import quantile

MAX_PER_SECOND = 12_000
"""Operations made ready for a web process for each second; none gets through so many."""


@dataclass(slots=True)
class Made:
    """What one web process did after the lead-in; ``operations``, ``cpu``, ``outcome`` are of all.

    ``began`` and ``ended`` by the clock all processes share, in s as ``cpu``; the others in µs.
    """

    began: float = float("inf")
    ended: float = 0.0
    react: array[float] = field(default_factory=lambda: array("d"))
    feed: array[float] = field(default_factory=lambda: array("d"))
    operations: int = 0
    cpu: float = 0.0
    outcome: Counter[int] = field(default_factory=Counter)

    def add(self, other: Made) -> None:
        self.began, self.ended = min(self.began, other.began), max(self.ended, other.ended)
        self.react.extend(other.react)
        self.feed.extend(other.feed)
        self.operations += other.operations
        self.cpu += other.cpu
        self.outcome += other.outcome


@dataclass(frozen=True, slots=True)
class Result:
    """One run. Rates in 1/s, times in µs.

    Attributes:
        accepted: reactions a second while the web processes were at work.
        durable: the same, divided by the time until all was in PostgreSQL; 0 where nothing is.
        feeds: feeds a second.
        cpu_ms: processor time of each part for 1,000 operations, until all was durable.
        exact: rows and counts are what was acknowledged, None where there are none.
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
    """On empty stores.

    Args:
        seed: the same seed, the same operations.
        writers: web processes, unless the contender has a number of its own.
        rate: operations a second of all clients together, at most.

    Raises:
        TimeoutError: it never became durable.
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


# -- the web processes -----------------------------------------------------------------------------


class Web:
    """The web processes of one contender, from when they are ready until they are done for.

    They say when they have stopped, and what they did only when asked: so that nothing of that
    competes with what is yet to become durable.
    """

    def __init__(
        self,
        arena: Arena,
        contender: Contender,
        workload: Workload,
        seed: int,
        seconds: float,
        writers: int,
        rate: float | None = None,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._number = contender.processes or writers
        self._barrier: Any = context.Barrier(self._number + 1)
        self._results: Any = context.SimpleQueue()
        each = rate / (self._number * contender.threads) if rate else 0.0
        arguments = (contender, arena.settings.environment(), workload, seed, seconds, each)
        self._processes = [
            context.Process(
                target=_web,
                args=(*arguments, number, self._number, self._barrier, self._results),
                daemon=True,
            )
            for number in range(self._number)
        ]

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        wait(lambda: self._barrier.n_waiting == self._number or not self._results.empty())
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.join()

    def go(self) -> None:
        """Returns when all of them have stopped."""
        processes.meet(self._barrier, self._results)
        self._gather()

    def made(self) -> Made:
        """What they did together."""
        processes.meet(self._barrier, self._results)
        total = Made()
        for each in self._gather():
            total.add(each)
        return total

    def _gather(self) -> list[Any]:
        found: list[Any] = []
        while len(found) < self._number:
            found.append(self._results.get())
            if isinstance(found[-1], Exception):
                raise found[-1]
        return found


def _web(
    contender: Contender,
    environment: dict[str, str],
    workload: Workload,
    seed: int,
    seconds: float,
    rate: float,
    number: int,
    processes: int,
    barrier: Any,  # noqa: ANN401 - synchronisation of multiprocessing has no public types
    results: Any,  # noqa: ANN401
) -> None:
    try:
        os.environ.update(environment)
        settings = Settings.from_env()
        lead_in = seconds * workload.lead_in
        most = int((lead_in + seconds) * (rate or MAX_PER_SECOND / contender.threads)) + 1
        clients = processes * contender.threads
        threads = []
        for thread in range(contender.threads):
            place = number * contender.threads + thread
            operations = list(islice(workload.operations(seed, place, clients), most))
            threads.append(_Thread(contender.connect(settings), operations, lead_in, seconds, rate))
        barrier.wait(300)
        made = _together(threads)
        results.put(True)
        barrier.wait(2 * PATIENCE_S)
        for each in threads:
            each.made.outcome = outcome(each.done())
            made.add(each.made)
        results.put(made)
    except Exception as error:  # noqa: BLE001 - handed to the parent, which raises it
        results.put(RuntimeError(f"web process {number} of {contender.name}: {error!r}"))
        barrier.abort()


def _together(threads: Sequence[_Thread]) -> Made:
    """All threads at once; the processor time is that of the process."""
    began = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
        if thread.failure is not None:
            raise thread.failure
    for thread in threads:
        thread.client.close()
    return Made(cpu=time.process_time() - began)


class _Thread(threading.Thread):
    """A thread of a web process; one alone is as good as the main thread."""

    def __init__(
        self,
        client: Client,
        operations: Sequence[Operation],
        lead_in: float,
        seconds: float,
        rate: float,
    ) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.made = Made()
        self.failure: Exception | None = None
        self._operations = operations
        self._lead_in = lead_in
        self._seconds = seconds
        self._between = 1 / rate if rate else 0.0

    def done(self) -> Sequence[Operation]:
        return self._operations[: self.made.operations]

    def run(self) -> None:
        try:
            operations = iter(self._operations)
            if self._lead_in:
                self._play(operations, self._lead_in)
                self.made = Made(operations=self.made.operations)
            self._play(operations, self._seconds)
        except Exception as error:  # noqa: BLE001 - raised where it is joined
            self.failure = error

    def _play(self, operations: Iterator[Operation], seconds: float) -> None:
        client, made, clock = self.client, self.made, time.monotonic
        made.began = ended = due = clock()
        until = made.began + seconds
        for user, code, posts in operations:
            if self._between:
                due += self._between
                time.sleep(max(0.0, due - clock()))
            began = clock()
            if code == FEED:
                client.feed(user, posts)
                ended = clock()
                made.feed.append((ended - began) * 1e6)
            else:
                client.react(user, posts[0], code)
                ended = clock()
                made.react.append((ended - began) * 1e6)
            if ended > until:
                break
        made.ended = ended
        made.operations += len(made.react) + len(made.feed)

"""The web processes of one contender."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self

from benchmarks.compare.contenders.base import Client, Contender
from benchmarks.compare.mix import FEED
from benchmarks.compare.workloads import Operation, Workload, outcome
from benchmarks.support import processes
from benchmarks.support.arena import PATIENCE_S, Arena, wait
from reactions.core.settings import Settings

MAX_PER_SECOND = 12_000
"""Operations prepared for each second of a web process; no process makes so many."""


@dataclass(slots=True)
class Made:
    """What one web process did.

    Attributes:
        began, ended: of the measured time; s of the monotonic clock.
        react, feed: times of the calls, in µs.
        operations, cpu: their number, and the processor time in s.
        outcome: the final number of reactions by type code, with the lead-in.
        reached: feeds that asked PostgreSQL, by the reason.
    """

    began: float = float("inf")
    ended: float = 0.0
    react: array[float] = field(default_factory=lambda: array("d"))
    feed: array[float] = field(default_factory=lambda: array("d"))
    operations: int = 0
    cpu: float = 0.0
    outcome: Counter[int] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)

    def add(self, other: Made) -> None:
        self.began, self.ended = min(self.began, other.began), max(self.ended, other.ended)
        self.react.extend(other.react)
        self.feed.extend(other.feed)
        self.operations += other.operations
        self.cpu += other.cpu
        self.outcome += other.outcome
        self.reached += other.reached


class Web:
    """Starts the web processes, and gathers what they did.

    The processes report in two steps: that they stopped, and later, on request, what they did. So
    the report does not compete with operations that have yet to become durable.
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
                target=_run,
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

    def lead_in(self) -> None:
        """Let them play what does not count; returns when all have done so."""
        self.go()

    def go(self) -> None:
        """Let them begin; returns when all have stopped."""
        processes.meet(self._barrier, self._results)
        self._gather()

    def made(self) -> Made:
        """What all of them did together."""
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


def _run(
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
        lead_in = seconds * workload.lead_in
        most = int((lead_in + seconds) * (rate or MAX_PER_SECOND / contender.threads)) + 1
        threads = []
        for place in range(number * contender.threads, (number + 1) * contender.threads):
            operations = workload.operations(seed, place, processes * contender.threads)
            client = contender.connect(Settings.from_env())
            threads.append(_Client(client, list(islice(operations, most)), rate))
        barrier.wait(300)
        _together(threads, lead_in)
        results.put(True)
        reached = [contender.reached(each.client) for each in threads]
        barrier.wait(2 * PATIENCE_S)
        made = _together(threads, seconds)
        for each, before in zip(threads, reached, strict=True):
            made.reached += contender.reached(each.client) - before
            each.client.close()
        results.put(True)
        barrier.wait(2 * PATIENCE_S)
        for each in threads:
            each.made.outcome = each.outcome()
            made.add(each.made)
        results.put(made)
    except Exception as error:  # noqa: BLE001 - the parent raises it
        results.put(RuntimeError(f"web process {number} of {contender.name}: {error!r}"))
        barrier.abort()


def _together(clients: Sequence[_Client], seconds: float) -> Made:
    """Let all clients play, a thread each; the processor time is the time of the whole process."""
    threads = [threading.Thread(target=each.run, args=(seconds,), daemon=True) for each in clients]
    began = time.process_time()
    for thread in threads:
        thread.start()
    for thread, client in zip(threads, clients, strict=True):
        thread.join()
        if client.failure is not None:
            raise client.failure
    return Made(cpu=time.process_time() - began)


class _Client:
    """One client that makes one call after the other, in a thread of its own.

    Attributes:
        made: what it did when it ran last.
        done: how many operations it made since it began.
    """

    def __init__(self, client: Client, operations: Sequence[Operation], rate: float) -> None:
        self.client = client
        self.made = Made()
        self.done = 0
        self.failure: Exception | None = None
        self._operations = operations
        self._between = 1 / rate if rate else 0.0

    def outcome(self) -> Counter[int]:
        """The final number of reactions by type code."""
        return outcome(self._operations[: self.done])

    def run(self, seconds: float) -> None:
        try:
            self.made = Made()
            if seconds:
                self._play(islice(self._operations, self.done, None), seconds)
                self.done += self.made.operations
        except Exception as error:  # noqa: BLE001 - raised by _together
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
        made.operations = len(made.react) + len(made.feed)

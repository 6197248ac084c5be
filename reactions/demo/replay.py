"""Plays a trace through ``react()`` from several web processes, as fast as it is accepted."""

from __future__ import annotations

import multiprocessing
import os
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from reactions.api.client import Reactions
from reactions.core.errors import ReactionsUnavailable, StackError
from reactions.core.settings import Settings
from reactions.demo.trace import Event, Trace
from reactions.redis.connection import connect
from reactions.redis.scripts import writes

BASELINE_EVERY = 50
"""One in this many events also times the bare script, on keys of its own, for the ratio."""

RETRY_S = 60.0
"""How long a writer goes on with an event while Redis is away."""

_READ_S = 120.0  # for all writers to have read their share
_SCRATCH = "scratch:{0}:"


@dataclass(slots=True)
class Replayed:
    """What the writers saw together. Times in µs.

    Attributes:
        accepted: events that ``react()`` returned from.
        seconds: from the first event to the last answer.
        latencies: of every ``react()``, sorted.
        baseline: of the bare script by redis-py, sampled in the same run, sorted.
        statuses: outcomes by their status.
        retried: calls repeated because Redis was away.
        published, failed, dropped: wake-ups, as in ``RelayStats``.
    """

    accepted: int = 0
    seconds: float = 0.0
    latencies: array[float] = field(default_factory=lambda: array("d"))
    baseline: array[float] = field(default_factory=lambda: array("d"))
    statuses: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    published: int = 0
    failed: int = 0
    dropped: int = 0

    def add(self, other: Replayed) -> None:
        """Take in what another writer saw."""
        self.accepted += other.accepted
        self.latencies.extend(other.latencies)
        self.baseline.extend(other.baseline)
        self.statuses.update(other.statuses)
        self.retried += other.retried
        self.published += other.published
        self.failed += other.failed
        self.dropped += other.dropped


def quantile(values: Sequence[float], share: float) -> float:
    """Of sorted values; 0 of none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def replay(
    settings: Settings,
    path: Path,
    *,
    events: int | None = None,
    writers: int = 4,
    progress: Callable[[int], None] = lambda _: None,
) -> Replayed:
    """Play a trace. The events of one user keep their order: they all go to one writer.

    Args:
        settings: whose reaction types name those of the trace.
        events: how many at most.
        writers: processes, each a web process of its own with a relay of its own.
        progress: called a few times a second with the number of events accepted so far.

    Raises:
        StackError: a writer died; the first line says why.
    """
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(writers + 1), context.SimpleQueue()
    counters = [context.Value("Q", 0, lock=False) for _ in range(writers)]
    environment = settings.environment()
    processes = [
        context.Process(
            target=_writer,
            args=(environment, path, events, number, writers, barrier, counters[number], results),
            daemon=True,
        )
        for number in range(writers)
    ]
    for process in processes:
        process.start()
    try:
        barrier.wait(_READ_S)
        return _gather(processes, counters, results, progress)
    except Exception as error:
        raise StackError(f"a writer failed: {error!r}") from error
    finally:
        for process in processes:
            process.kill()


def _gather(
    processes: Sequence[Any],
    counters: Sequence[Any],
    results: Any,  # noqa: ANN401 - a SimpleQueue has no public type
    progress: Callable[[int], None],
) -> Replayed:
    began = time.monotonic()
    total = Replayed()
    waiting = len(processes)
    while waiting:
        if results.empty():
            if not any(process.is_alive() for process in processes):
                raise StackError("the writers are gone without a result")
            progress(sum(counter.value for counter in counters))
            time.sleep(0.1)
            continue
        result = results.get()
        if isinstance(result, Exception):
            raise result
        total.add(result)
        total.seconds = time.monotonic() - began
        waiting -= 1
    progress(total.accepted)
    total.latencies = array("d", sorted(total.latencies))
    total.baseline = array("d", sorted(total.baseline))
    return total


def _writer(
    environment: dict[str, str],
    path: Path,
    events: int | None,
    number: int,
    writers: int,
    barrier: Barrier,
    counter: Synchronized[int],
    results: Any,  # noqa: ANN401 - a SimpleQueue has no public type
) -> None:
    """One web process: plays the users that fall to it."""
    try:
        share = [event for event in Trace(path, events) if event.user_id % writers == number]
        barrier.wait(_READ_S)
        os.environ.update(environment)  # a web process is configured by its environment
        with Reactions() as client:
            played = _play(client, share, counter)
            stats = client.relay_stats()
        played.published, played.failed = stats.published, stats.failed
        played.dropped = stats.dropped
        results.put(played)
    except Exception as error:  # noqa: BLE001 - handed to the parent, which raises it
        results.put(StackError(f"writer {number}: {error!r}"))


def _play(client: Reactions, share: Sequence[Event], counter: Synchronized[int]) -> Replayed:
    played = Replayed()
    clock = time.perf_counter
    bare = _bare_script(client.settings)
    for event in share:
        began = clock()
        status = _react(client, event, played)
        played.latencies.append((clock() - began) * 1e6)
        played.statuses[status] += 1
        played.accepted += 1
        counter.value += 1
        if played.accepted % BASELINE_EVERY == 0:
            began = clock()
            bare(played.accepted)
            played.baseline.append((clock() - began) * 1e6)
    return played


def _react(client: Reactions, event: Event, played: Replayed) -> str:
    """One event, until it is accepted: the answer was lost or never came, and again is safe."""
    user_id, post_id, reaction = event
    deadline = time.monotonic() + RETRY_S
    while True:
        try:
            if reaction is None:
                return client.unreact(user_id, post_id).status.value
            return client.react(user_id, post_id, reaction).status.value
        except ReactionsUnavailable:
            if time.monotonic() > deadline:
                raise
            played.retried += 1
            time.sleep(0.05)


def _bare_script(settings: Settings) -> Callable[[int], object]:
    """The same script, straight through redis-py, on scratch keys (see clean_scratch)."""
    client = connect(settings)
    keys = [f"{_SCRATCH}{number}" for number in range(writes.REACT.keys)]
    client.script_load(writes.REACT.source)

    def call(user_id: int) -> object:
        return client.evalsha(writes.REACT.sha, len(keys), *keys, user_id, 1, 1, 10_000_000)

    return call


def clean_scratch(settings: Settings) -> None:
    """Remove the keys of the bare script."""
    with connect(settings) as client:
        client.unlink(*(f"{_SCRATCH}{number}" for number in range(writes.REACT.keys)))

"""Plays a trace through ``react()`` from several web processes, as fast as they can."""

from __future__ import annotations

import multiprocessing
import signal
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from reactions.api.client import Reactions
from reactions.core.errors import ReactionsUnavailable, StackError
from reactions.core.settings import Settings
from reactions.demo.baseline import bare_script
from reactions.demo.trace import Event, Trace

BASELINE_EVERY = 50
"""A writer times one call of the bare script after this many events."""

WARM_AHEAD = 1_000
"""A writer warms a post this many of its events before it first reacts on it."""

RETRY_S = 60.0
"""How long a writer repeats an event while Redis does not answer."""

_READ_S = 120.0  # how long the writers may take to read their shares


@dataclass(slots=True)
class Replayed:
    """The measurements of one writer, or of all together.

    Attributes:
        accepted: the events for which ``react()`` returned.
        seconds: the time from the first event to the last answer.
        latencies: the time of each ``react()`` in µs; sorted once all writers are together.
        baseline: the time of each call of the bare script in µs, taken during the same replay;
            sorted in the same way.
        statuses: the number of outcomes by status.
        retried: calls repeated because Redis did not answer.
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
        """Add the measurements of another writer."""
        self.accepted += other.accepted
        self.latencies.extend(other.latencies)
        self.baseline.extend(other.baseline)
        self.statuses.update(other.statuses)
        self.retried += other.retried
        self.published += other.published
        self.failed += other.failed
        self.dropped += other.dropped


def quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile of sorted values, or 0 if there are none. `share` is from 0 to 1."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def replay(
    settings: Settings,
    path: Path,
    *,
    events: int | None = None,
    writers: int = 4,
    warm: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Replayed:
    """Play a trace. All events of a user go to one writer, so they keep their order.

    Args:
        settings: its reaction types must include those of the trace.
        path: the trace.
        events: play at most this many events.
        writers: the number of web processes, each with its own relay.
        warm: warm each post before its first reaction, as an application warms new posts.
        progress: called a few times a second with the number of events accepted so far.

    Raises:
        StackError: a writer failed; the message quotes its error.
    """
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(writers + 1), context.SimpleQueue()
    counters = [context.Value("Q", 0, lock=False) for _ in range(writers)]
    shared = settings, path, events, writers, warm, barrier, results
    processes = [
        context.Process(target=_writer, args=(number, counter, *shared), daemon=True)
        for number, counter in enumerate(counters)
    ]
    _start(processes)
    try:
        barrier.wait(_READ_S)
        return _gather(processes, counters, results, progress)
    except Exception as error:
        raise StackError(f"a writer failed: {error!r}") from error
    finally:
        for process in processes:
            process.kill()


def _start(processes: Sequence[Any]) -> None:
    # A terminal sends Ctrl-C to the writers too. They inherit the mask, and end with this process.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for process in processes:
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


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
                raise StackError("the writers ended without a result")
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
    number: int,
    counter: Synchronized[int],
    settings: Settings,
    path: Path,
    events: int | None,
    writers: int,
    warm: bool,
    barrier: Barrier,
    results: Any,  # noqa: ANN401 - a SimpleQueue has no public type
) -> None:
    """Play the events of this writer's users, in a process of its own."""
    try:
        share = [event for event in Trace(path, events) if event.user_id % writers == number]
        barrier.wait(_READ_S)
        with Reactions(settings) as client:
            played = _play(client, share, counter, WARM_AHEAD if warm else None)
            stats = client.relay_stats()
        played.published, played.failed = stats.published, stats.failed
        played.dropped = stats.dropped
        results.put(played)
    except Exception as error:  # noqa: BLE001 - the parent raises it
        results.put(StackError(f"writer {number}: {error!r}"))


def _play(
    client: Reactions, share: Sequence[Event], counter: Synchronized[int], ahead: int | None
) -> Replayed:
    played = Replayed()
    clock = time.perf_counter
    bare = bare_script(client.settings)
    announced = _announced(share, ahead)
    for event, post_ids in zip(share, announced, strict=True):
        if post_ids:
            client.warm(post_ids)
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


def _announced(share: Sequence[Event], ahead: int | None) -> Iterator[list[int]]:
    """For each event, the posts to warm before it: those that come first in ``ahead`` events."""
    seen = set[int]()
    for place in range(len(share)):
        found: list[int] = []
        if ahead is not None and place + ahead < len(share):
            post_id = share[place + ahead].post_id
            if post_id not in seen:
                seen.add(post_id)
                found.append(post_id)
        yield found


def _react(client: Reactions, event: Event, played: Replayed) -> str:
    """Repeat one event until Redis answers. That is safe: a repeated event changes nothing."""
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

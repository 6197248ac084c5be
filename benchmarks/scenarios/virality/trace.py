"""A trace with its times, and how each of its posts grows."""

from __future__ import annotations

import gzip
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from reactions.demo.trace import Event, Trace

GZIP = b"\x1f\x8b"


@dataclass(slots=True)
class Growth:
    """How each post of the trace grows.

    Attributes:
        reached: post -> the times (s) at which it first had 1, 2, 3, … reactions.
    """

    reached: dict[int, list[int]] = field(default_factory=dict)

    def size(self, post: int, at: int) -> int:
        """The largest number of reactions that the post had before this time."""
        return bisect_left(self.reached[post], at)

    def crossed(self, threshold: int) -> dict[int, int]:
        """post -> the time at which it first had so many reactions."""
        return {
            post: times[threshold - 1]
            for post, times in self.reached.items()
            if len(times) >= threshold
        }


def timed(trace: Trace) -> list[tuple[int, Event]]:
    """The events of a trace, with their times in s.

    Raises:
        ValueError: a line is broken, or the times do not ascend.
    """
    with trace.path.open("rb") as raw:
        zipped = raw.read(2) == GZIP
    with gzip.open(trace.path, "rt") if zipped else trace.path.open() as file:
        next(file)
        times = [int(line.partition(",")[0]) for line in file]
    if times != sorted(times):
        raise ValueError(f"{trace.path} is not sorted by time")
    return list(zip(times, trace, strict=True))


def growth(events: Sequence[tuple[int, Event]]) -> Growth:
    """Count the reactions of each post."""
    found = Growth()
    users: dict[int, set[int]] = {}
    for at, (user_id, post_id, reaction) in events:
        live = users.setdefault(post_id, set())
        if reaction is None:
            live.discard(user_id)
            continue
        live.add(user_id)
        times = found.reached.setdefault(post_id, [])
        if len(live) > len(times):
            times.append(at)
    return found


def steps(events: Sequence[tuple[int, Event]], step: int) -> Iterator[tuple[int, list[Event]]]:
    """The end (s) and the events of each step that has any."""
    batch: list[Event] = []
    end = 0
    for at, event in events:
        if at >= end:
            if batch:
                yield end, batch
            batch, end = [], at - at % step + step
        batch.append(event)
    if batch:
        yield end, batch

"""The first read after Redis lost everything, with a real worker."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from redis import Redis

from benchmarks.scenarios.large_post.quiet import POST, ensure
from benchmarks.support.ids import spread_id
from benchmarks.support.output import Show
from benchmarks.support.statistics import quantiles
from reactions.api.client import Reactions
from reactions.api.relay import Wanted
from reactions.demo.stack import Stack
from reactions.redis import buckets
from reactions.redis.connection import connect
from reactions.redis.keys import default_keys as keys
from reactions.redis.post_snapshots import PostSnapshots

READS = 20

ALONE_S = 0.5
"""How long to wait for the sample after the first read, before a second user reads."""

SAMPLED_S = 5.0

POLL_S = 0.001

_RECEIVED = re.compile(r"^\[([\d-]+ [\d:,]+): .*Task reactions\.load\[([\w-]+)\] received")

_SUCCEEDED = re.compile(
    r"^\[([\d-]+ [\d:,]+): .*Task reactions\.load\[([\w-]+)\] succeeded in ([\d.e-]+)s"
)


@dataclass(slots=True)
class _Round:
    """One loss of Redis. Times are seconds since 1970."""

    read: list[tuple[float, float]] = field(default_factory=list)
    """Begin and end of each read, in order."""
    requested: float = 0.0
    published: tuple[float, float] = (0.0, 0.0)
    """Begin and end of the publication of the request."""
    sampled: float = 0.0


class FirstReads:
    """Empties Redis, reads, and waits until the worker has cached the sample again."""

    def __init__(self, stack: Stack) -> None:
        settings = stack.settings
        self._stack = stack
        self._client = Redis.from_url(settings.redis_url.get_secret_value())
        self._snapshots = PostSnapshots(connect(settings), settings)
        self._web = Reactions(settings)
        self._web._reads.reads()
        self._now = _Round()
        self._spy()

    def measure(self, show: Show) -> dict[str, Any]:
        """Lose Redis and read, READS times. Times are in ms."""
        self._round(1)  # opens the connections
        offset = self._stack.worker.log.stat().st_size
        rounds: list[_Round] = []
        for number in range(READS):
            rounds.append(self._round(1_000 + 10 * number))
            show("first reads", number + 1, READS)
        time.sleep(0.5)
        self._web.close()
        with self._stack.worker.log.open(errors="replace") as log:
            log.seek(offset)
            tasks = _tasks(log.read())
        alone = sum(len(each.read) == 1 for each in rounds)
        begin = 0 if alone == len(rounds) else 1
        return {
            "first_read_ms": _ms(each.read[0] for each in rounds),
            "cached_after_the_first_read_alone": alone,
            "second_read_ms": _ms(each.read[1] for each in rounds if len(each.read) > 1),
            "requesting_read": begin + 1,
            "until_sampled_ms": _ms((each.read[-1][0], each.sampled) for each in rounds),
            "split_ms": _split(rounds, tasks),
        }

    def _spy(self) -> None:
        """Note when a load is requested, and when its message is published."""
        relay = self._web._relay
        request, publish = relay.request_load, relay._publish

        def requested(post_id: int, space: str = "post", *, hurry: bool = True) -> None:
            self._now.requested = time.time()
            request(post_id, space, hurry=hurry)

        def published(wanted: Mapping[str, Wanted], pause: float) -> float:
            began = time.time()
            left = publish(wanted, pause)
            self._now.published = began, time.time()
            return left

        relay.request_load = requested  # type: ignore[method-assign]
        relay._publish = published  # type: ignore[method-assign]

    def _round(self, first_user: int) -> _Round:
        self._now = now = _Round()
        self._client.flushall()
        # The reader must not skip a repeated request.
        self._web._reads.reads().feeds._requests._posts.clear()
        for user, patience in ((first_user, ALONE_S), (first_user + 1, SAMPLED_S)):
            began = time.time()
            self._web.summaries([POST], spread_id(user, 31))
            now.read.append((began, time.time()))
            if self._sampled(now, patience):
                return now
        raise RuntimeError("the sample was not cached")

    def _sampled(self, now: _Round, patience: float) -> bool:
        """Poll the mark, which is cheap; once it is there, check the whole sample."""
        deadline = time.monotonic() + patience
        name, mark = keys.post_reactions(POST), str(buckets.MARK)
        while time.monotonic() < deadline:
            found: Any = self._client.hget(name, mark)
            if int(found or 0) < 0:
                now.sampled = time.time()
                ensure(
                    self._snapshots.snapshots([POST])[0].sampled, "a part of the sample is missing"
                )
                return True
            time.sleep(POLL_S)
        return False


@dataclass(slots=True)
class _Task:
    """One load, from the worker's log, whose times are exact to 1 ms."""

    received: float
    began: float = 0.0
    ended: float = 0.0


def _tasks(log: str) -> list[_Task]:
    found: dict[str, _Task] = {}
    for line in log.splitlines():
        if match := _RECEIVED.match(line):
            found[match[2]] = _Task(_moment(match[1]))
        elif (match := _SUCCEEDED.match(line)) and match[2] in found:
            task = found[match[2]]
            task.ended = _moment(match[1])
            task.began = task.ended - float(match[3])
    return sorted((task for task in found.values() if task.ended), key=lambda task: task.received)


def _moment(written: str) -> float:
    return datetime.strptime(written, "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()


def _split(rounds: list[_Round], tasks: list[_Task]) -> dict[str, dict[str, float]]:
    """The parts of the time between the read that requested a load and the sample."""
    pairs = [
        (each, task)
        for each in rounds
        for task in tasks
        # The times of the log are late by about 1 ms.
        if each.published[0] - 0.002 <= task.received <= each.sampled + 0.002
    ]
    if not pairs:
        return {}
    return {
        "the read, until it requests a load": _ms(
            (each.read[-1][0], each.requested) for each, _ in pairs
        ),
        "the relay gathers": _ms((each.requested, each.published[0]) for each, _ in pairs),
        "the relay publishes": _ms(each.published for each, _ in pairs),
        "published until received": _ms((each.published[1], t.received) for each, t in pairs),
        "received until begun": _ms((task.received, task.began) for _, task in pairs),
        "begun until the sample is cached": _ms((t.began, each.sampled) for each, t in pairs),
    }


def _ms(spans: Any) -> dict[str, float]:  # noqa: ANN401 - an iterable of (begin, end)
    return quantiles([(end - begin) * 1e3 for begin, end in spans] or [0.0])

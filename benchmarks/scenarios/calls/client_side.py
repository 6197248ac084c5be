"""The client's part of a call: ``react()``, the same EVALSHA by redis-py, and a plain socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import hiredis
from redis import Redis

from benchmarks.scenarios.calls.capture import Captured
from benchmarks.support.checkout import Child
from benchmarks.support.output import Show
from benchmarks.support.statistics import spread
from reactions.demo.replay import quantile
from reactions.redis.wire import Words

USERS = 500
"""Users who take turns on the post; a hash of so many is still small."""

WARM_S = 0.7
"""How long each way runs at first: the relay of a new process imports Celery meanwhile."""

Turn = Callable[[float], tuple[float, list[float]]]
"""Calls for so many seconds; returns its processor time in s, and the time of each call in µs."""


class Plain:
    """A socket, and hiredis to pack commands and parse replies: the least that Python needs."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def call(self, words: Words) -> object:
        pack: Any = hiredis.pack_command  # its annotation wants tuples of one type
        self._socket.sendall(pack(tuple(words)))
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65_536))
        return reply

    def close(self) -> None:
        self._socket.close()


@dataclass(slots=True)
class Runs:
    """All turns of one way: processor µs a call, and the time of each call in µs."""

    cpu: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        ordered = sorted(self.times)
        return {
            "client_us": round(median(self.cpu), 1),
            "p50": round(quantile(ordered, 0.5), 1),
            "p99": round(quantile(ordered, 0.99), 1),
            "calls": len(ordered),
        }


def by_child(child: Child, post: int) -> Turn:
    """``react()`` of a version, in a process of its own."""

    def turn(seconds: float) -> tuple[float, list[float]]:
        found = child.ask({"posts": [post, 1], "users": [1, USERS], "seconds": seconds})
        return found["cpu_s"], found["times_us"]

    return turn


def by(call: Callable[[Words], object], captured: Captured) -> Turn:
    """The same EVALSHA, in this process."""

    def turn(seconds: float) -> tuple[float, list[float]]:
        times, clock, number = list[float](), time.monotonic, 0
        used, until = time.process_time(), clock() + seconds
        while True:
            words = captured.words(1 + number % USERS, 1 + number // USERS % 6)
            number += 1
            began = clock()
            call(words)
            ended = clock()
            times.append((ended - began) * 1e6)
            if ended > until:
                return time.process_time() - used, times

    return turn


def by_redis_py(client: Redis, captured: Captured) -> Turn:
    def call(words: Words) -> object:
        # What Redis.evalsha() does.
        return client.execute_command(*words)  # type: ignore[no-untyped-call]

    return by(call, captured)


def measure(
    ways: dict[str, Turn], prepare: Callable[[], object], seconds: float, rounds: int, show: Show
) -> dict[str, Runs]:
    """All ways in turns; each round begins with another one."""
    found = {name: Runs() for name in ways}
    names = list(ways)
    for name in names:
        ways[name](max(WARM_S, seconds / 3))
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            prepare()
            cpu, times = ways[name](seconds)
            found[name].cpu.append(cpu * 1e6 / len(times))
            found[name].times += times
        show("the client's part", number + 1, rounds)
    return found


def ratios(found: dict[str, Runs], one: str, others: Sequence[str]) -> dict[str, Any]:
    """Processor time of one way to others, round by round; p50 to p50."""
    mine = found[one]
    return {
        name: {
            "client": spread([a / b for a, b in zip(mine.cpu, found[name].cpu, strict=True)]),
            "p50": round(median(mine.times) / median(found[name].times), 2),
        }
        for name in others
    }

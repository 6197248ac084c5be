"""Faults of workers, beats and writers."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from chaos import traps
from chaos.nemesis import SPRING_S, Missed, Nemesis
from chaos.nodes import Node


@contextmanager
def child_killed(nemesis: Nemesis) -> Iterator[None]:
    """Kill one child of a worker with SIGKILL."""
    children = psutil.Process(nemesis.any_worker().process.pid).children()
    if not children:
        raise Missed
    nemesis.chance.choice(children).kill()
    yield


@contextmanager
def killed(pick: Callable[[Nemesis], list[Node]], nemesis: Nemesis) -> Iterator[None]:
    """Kill processes and their children with SIGKILL; they start again within 2 seconds."""
    victims = pick(nemesis)
    for node in victims:
        node.down = True
        node.kill()
    nemesis.hold(0, 2)
    yield
    for node in victims:
        node.down = False


def any_worker(nemesis: Nemesis) -> list[Node]:
    return [nemesis.any_worker()]


def any_writer(nemesis: Nemesis) -> list[Node]:
    return [nemesis.chance.choice(nemesis.system.writers)]


def one_or_both_beats(nemesis: Nemesis) -> list[Node]:
    beats = nemesis.system.beats
    return nemesis.chance.sample(beats, nemesis.chance.randint(1, len(beats)))


@contextmanager
def worker_frozen(nemesis: Nemesis) -> Iterator[None]:
    """Stop a worker and its children for longer than its leases; then let it continue."""
    node = nemesis.any_worker()
    lease = nemesis.system.settings.lease_s
    node.freeze()
    nemesis.hold(lease + 0.1, lease + 2)
    yield
    node.thaw()


@contextmanager
def trapped(place: str, what: str, nemesis: Nemesis) -> Iterator[None]:
    """Kill a worker, stop it, or raise an error in it, between two steps of a drain."""
    path = traps.put(nemesis.system.traps, place, what)
    if place == traps.BEFORE_HASH:  # cached hashes stay, so loads are rare
        with nemesis.system.redis() as client:
            for key in client.scan_iter("post:*:reactions", count=1_000):
                client.delete(key)
    try:
        deadline = time.monotonic() + SPRING_S
        while (victim := traps.sprung(path)) is None:
            if time.monotonic() > deadline:
                raise Missed
            nemesis.system.supervise()
            time.sleep(0.02)
        if what == traps.STOP:
            lease = nemesis.system.settings.lease_s
            nemesis.hold(lease + 0.1, lease + 2)
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGCONT)
        yield
    finally:
        traps.clear(path)

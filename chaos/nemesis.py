"""Chooses faults from a shuffled deck, so that all kinds are equally frequent, and heals them."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg2
from redis.exceptions import RedisError

from chaos.nodes import Node
from chaos.system import System
from chaos.waiting import wait_for

SPRING_S = 4.0
"""How long a trap waits for a worker; after that the fault counts as missed."""

MAX_RECOVERY_S = 90.0
"""The longest time from the end of a fault until everything accepted before is durable."""

MINUTE_EVERY = 6
"""Once in so many times, PostgreSQL refuses connections for a minute, not for 4 seconds."""

MAX_PAUSE_S = 3.0
"""The longest time that Redis is stopped; ``register.LATE_S`` is longer."""

Deed = Callable[["Nemesis"], AbstractContextManager[None]]


class Missed(Exception):
    """The fault did not happen: no worker reached the trap, or a server was unreachable."""


@dataclass(slots=True)
class Fault:
    """A fault that happened.

    Attributes:
        began, healed: seconds of the monotonic clock.
        recovery_s: the time after ``healed`` until everything accepted before was in PostgreSQL.
        drift: differences that duties found before the next fault. All faults of a salvo share
            them.
    """

    kind: str
    began: float
    healed: float = 0.0
    recovery_s: float = 0.0
    drift: int = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    Attributes:
        target: what it strikes; two faults never strike the same target at once.
        deed: makes it happen when entered, and heals it when left.
    """

    name: str
    target: str
    deed: Deed


class Nemesis:
    """Makes faults happen to a system, and heals them. The same seed chooses the same faults."""

    def __init__(
        self,
        system: System,
        seed: int,
        kinds: Sequence[Kind],
        *,
        minute: bool = True,
        only: Sequence[str] = (),
    ) -> None:
        """
        Args:
            kinds: the faults to choose from.
            minute: whether PostgreSQL may refuse connections for a minute.
            only: parts of names; without any, all kinds are chosen.
        """
        self._kinds = [kind for kind in kinds if any(part in kind.name for part in only or [""])]
        self.system = system
        self.chance = random.Random(seed)
        self.minute = minute
        self.stash: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.missed: Counter[str] = Counter()
        self._deck: list[Kind] = []
        self._refusals = 0

    def salvo(self) -> list[Fault]:
        """Make one to three faults at once; returns those that happened, after the recovery."""
        size = self.chance.choices((1, 2, 3), (5, 3, 2))[0]
        chosen = self._deal(size)
        happened: list[Fault] = []
        with ExitStack() as healing:
            for kind in chosen:
                fault = Fault(kind.name, time.monotonic())
                try:
                    healing.enter_context(kind.deed(self))
                except (Missed, RedisError, psycopg2.Error, psutil.Error, OSError):
                    self.missed[kind.name] += 1
                    continue
                happened.append(fault)
        healed = time.monotonic()
        took = self._recover()
        for fault in happened:
            fault.healed, fault.recovery_s = healed, took
        self.faults += happened
        return happened

    def _deal(self, size: int) -> list[Kind]:
        chosen: list[Kind] = []
        while len(chosen) < size:
            if not self._deck:
                self._deck = self.chance.sample(self._kinds, len(self._kinds))
            others = {kind.target for kind in chosen}
            kind = next((kind for kind in self._deck if kind.target not in others), None)
            if kind is None:
                break
            self._deck.remove(kind)
            chosen.append(kind)
        return chosen

    def _recover(self) -> float:
        """Wait until everything accepted so far is in PostgreSQL; returns the seconds."""
        began = time.monotonic()
        versions: dict[int, int] = {}

        def recovered() -> bool:
            nonlocal versions
            self.system.supervise()
            versions = versions or self.system.newest_versions()
            return not self.system.behind(versions)

        wait_for(recovered, MAX_RECOVERY_S, "what was accepted before the faults is durable")
        return time.monotonic() - began

    # -- what the faults use -------------------------------------------------------------------

    def hold(self, least_s: float, most_s: float) -> None:
        """Wait for a random time in these limits, and restart processes that die meanwhile."""
        until = time.monotonic() + self.chance.uniform(least_s, most_s)
        while time.monotonic() < until:
            self.system.supervise()
            time.sleep(0.05)

    def admin(self, database: str = "postgres") -> Any:
        """The nemesis's own connection to PostgreSQL."""
        connection = psycopg2.connect(self.system.postgres.url, dbname=database, connect_timeout=5)
        connection.autocommit = True
        return connection

    def any_worker(self) -> Node:
        return self.chance.choice(self.system.workers)

    def refusal_s(self) -> float:
        """How long PostgreSQL refuses connections next: 4 seconds, or a minute."""
        self._refusals += 1
        return 60.0 if self.minute and self._refusals % MINUTE_EVERY == 1 else 4.0

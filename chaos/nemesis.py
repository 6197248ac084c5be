"""Every fault there is, dealt from a shuffled deck: each comes about as often as another."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil
import psycopg2
from redis import Redis
from redis.exceptions import RedisError

from chaos import traps
from chaos.proxy import Cut
from chaos.system import FAKETIME, Node, System, wait_for
from reactions.core.celery_app import DRAIN, make_app
from reactions.core.constants import SHARDS

SPRING_S = 4.0
"""How long a trap waits for somebody; then the fault did not happen, and is not counted."""

MAX_RECOVERY_S = 90.0

MINUTE_EVERY = 6
"""One in so many times, PostgreSQL refuses connections for a minute, not for some seconds."""

MAX_PAUSE_S = 3.0
"""Longest that Redis is stopped; checker.LATE_S goes by it."""

Deed = Callable[["Nemesis"], AbstractContextManager[None]]


class Missed(Exception):
    """Nobody came by the place of a trap, or a server was not to be reached: no fault."""


@dataclass(slots=True)
class Fault:
    """One that happened.

    Attributes:
        began, healed: seconds of the monotonic clock.
        recovery_s: from then until all that was accepted before it was in PostgreSQL.
        drift: what duties found to drift until the next fault; it stands against all of a salvo.
    """

    kind: str
    began: float
    healed: float = 0.0
    recovery_s: float = 0.0
    drift: int = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: what it strikes (two never strike the same at once), and how."""

    name: str
    target: str
    deed: Deed


class Nemesis:
    """Makes faults happen to a system, and heals them."""

    def __init__(
        self, system: System, seed: int, *, minute: bool = True, only: Sequence[str] = ()
    ) -> None:
        """``only``: kinds with one of these in their name; all of them without."""
        self._kinds = [kind for kind in KINDS if any(part in kind.name for part in only or [""])]
        self.system = system
        self.chance = random.Random(seed)
        self.minute = minute
        self.stash: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.missed: Counter[str] = Counter()
        self._deck: list[Kind] = []
        self._refusals = 0

    def salvo(self) -> list[Fault]:
        """One to three faults at once; returns when all is well again."""
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
        """Wait until everything accepted so far is in PostgreSQL."""
        began = time.monotonic()
        mark: dict[int, int] = {}

        def recovered() -> bool:
            nonlocal mark
            self.system.supervise()
            mark = mark or self.system.mark()
            return not self.system.behind(mark)

        wait_for(recovered, MAX_RECOVERY_S, "what was accepted before the faults is durable")
        return time.monotonic() - began

    # -- for the deeds -------------------------------------------------------------------------

    def hold(self, least_s: float, most_s: float) -> None:
        """Let it last, while all that dies otherwise is started again."""
        until = time.monotonic() + self.chance.uniform(least_s, most_s)
        while time.monotonic() < until:
            self.system.supervise()
            time.sleep(0.05)

    def admin(self, database: str = "postgres") -> Any:
        """A connection to PostgreSQL of the nemesis's own."""
        connection = psycopg2.connect(self.system.postgres.url, dbname=database, connect_timeout=5)
        connection.autocommit = True
        return connection

    def any_worker(self) -> Node:
        return self.chance.choice(self.system.workers)

    def refusal_s(self) -> float:
        """Mostly some seconds, sometimes a minute."""
        self._refusals += 1
        return 60.0 if self.minute and self._refusals % MINUTE_EVERY == 1 else 4.0


# -- processes -------------------------------------------------------------------------------------


@contextmanager
def _child_killed(nemesis: Nemesis) -> Iterator[None]:
    children = psutil.Process(nemesis.any_worker().process.pid).children()
    if not children:
        raise Missed
    nemesis.chance.choice(children).kill()
    yield


@contextmanager
def _killed(pick: Callable[[Nemesis], list[Node]], nemesis: Nemesis) -> Iterator[None]:
    """kill -9 with all children; started again a little later."""
    victims = pick(nemesis)
    for node in victims:
        node.down = True
        node.kill()
    nemesis.hold(0, 2)
    yield
    for node in victims:
        node.down = False


def _any_worker(nemesis: Nemesis) -> list[Node]:
    return [nemesis.any_worker()]


def _any_writer(nemesis: Nemesis) -> list[Node]:
    return [nemesis.chance.choice(nemesis.system.writers)]


def _one_or_both_beats(nemesis: Nemesis) -> list[Node]:
    beats = nemesis.system.beats
    return nemesis.chance.sample(beats, nemesis.chance.randint(1, len(beats)))


@contextmanager
def _worker_frozen(nemesis: Nemesis) -> Iterator[None]:
    """All of it, beyond its leases; then it goes on as if nothing had been."""
    node = nemesis.any_worker()
    lease = nemesis.system.settings.lease_s
    node.freeze()
    nemesis.hold(lease + 0.1, lease + 2)
    yield
    node.thaw()


@contextmanager
def _trapped(place: str, what: str, nemesis: Nemesis) -> Iterator[None]:
    """A worker dies, stops or meets an error just between two steps of a drain."""
    path = traps.put(nemesis.system.traps, place, what)
    if place == traps.BEFORE_HASH:  # they are seldom loaded, as they stay
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


# -- the broker ------------------------------------------------------------------------------------


@contextmanager
def _broker_stopped(nemesis: Nemesis) -> Iterator[None]:
    nemesis.system.broker.stop()
    nemesis.hold(0.5, 3)
    yield
    nemesis.system.broker.start()


@contextmanager
def _queue_lost(nemesis: Nemesis) -> Iterator[None]:
    nemesis.system.lose_queue()
    nemesis.hold(0, 1)
    yield
    nemesis.system.broker.start()


@contextmanager
def _delivered_again(nemesis: Nemesis) -> Iterator[None]:
    """Messages in the hands of workers are sent once more: now, and long afterwards."""
    with Redis(port=nemesis.system.broker.port, socket_timeout=1) as broker:
        found: dict[str, tuple[str, str]] = {}
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            for tag, raw in broker.hgetall("unacked").items():
                message, _, queue = json.loads(raw)
                found[str(tag)] = (queue, json.dumps(message))
            time.sleep(0.01)
        for queue, message in [*found.values(), *nemesis.stash[-20:]]:
            broker.lpush(queue, message)
        nemesis.stash += found.values()
    with make_app(nemesis.system.settings) as app:
        for _ in range(3):
            shards = nemesis.chance.sample(range(SHARDS), 30)
            tokens = {str(shard): f"{nemesis.chance.getrandbits(64):x}" for shard in shards}
            app.send_task(DRAIN, kwargs={"shards": shards, "tokens": tokens})
    yield


# -- PostgreSQL ------------------------------------------------------------------------------------

_OTHERS = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"


@contextmanager
def _backends_terminated(nemesis: Nemesis) -> Iterator[None]:
    with contextlib.closing(nemesis.admin()) as connection:
        connection.cursor().execute(f"SELECT pg_terminate_backend(pid) {_OTHERS}")
    yield


@contextmanager
def _postgres_killed(nemesis: Nemesis) -> Iterator[None]:
    nemesis.system.kill_postgres()
    nemesis.hold(0, 2)
    yield
    nemesis.system.postgres.start()


@contextmanager
def _connections_refused(nemesis: Nemesis) -> Iterator[None]:
    with contextlib.closing(nemesis.admin("template1")) as connection:
        cursor = connection.cursor()
        cursor.execute("ALTER DATABASE postgres WITH ALLOW_CONNECTIONS false")
        try:
            cursor.execute(f"SELECT pg_terminate_backend(pid) {_OTHERS}")
            seconds = nemesis.refusal_s()
            nemesis.hold(seconds, seconds)
            yield
        finally:
            cursor.execute("ALTER DATABASE postgres WITH ALLOW_CONNECTIONS true")


@contextmanager
def _table_locked(nemesis: Nemesis) -> Iterator[None]:
    """Longer than a statement may take."""
    with contextlib.closing(nemesis.admin()) as connection:
        connection.autocommit = False
        cursor = connection.cursor()
        cursor.execute("SET LOCAL lock_timeout = '10s'")
        cursor.execute("LOCK TABLE reactions IN ACCESS EXCLUSIVE MODE")
        timeout = nemesis.system.settings.database_timeout_s
        nemesis.hold(timeout + 0.5, timeout + 2)
        yield


_WAITING = "SELECT 1 FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"


@contextmanager
def _deadlocked(nemesis: Nemesis) -> Iterator[None]:
    """The nemesis holds a row that a drain waits for, and then waits for what that drain holds.

    PostgreSQL looks for deadlocks from the side of those that wait a second: the drain.
    """
    with contextlib.closing(nemesis.admin()) as connection:
        connection.autocommit = False
        cursor = connection.cursor()
        cursor.execute("SET LOCAL deadlock_timeout = '30s'")
        cursor.execute("SET LOCAL lock_timeout = '5s'")
        cursor.execute("SELECT count FROM reaction_counts WHERE post_id <= 20 FOR UPDATE")
        deadline = time.monotonic() + SPRING_S
        while cursor.execute(_WAITING) or not cursor.fetchone():
            if time.monotonic() > deadline:
                raise Missed
            time.sleep(0.01)
        with contextlib.suppress(psycopg2.Error):  # or the victim is this one
            cursor.execute("LOCK TABLE reactions IN SHARE MODE")
        yield


# -- Redis -----------------------------------------------------------------------------------------


@contextmanager
def _store_killed(nemesis: Nemesis) -> Iterator[None]:
    nemesis.system.kill_store()
    nemesis.hold(0, 1)
    yield
    nemesis.system.store.start()


@contextmanager
def _scripts_flushed(nemesis: Nemesis) -> Iterator[None]:
    with nemesis.system.redis() as client:
        client.script_flush()
    yield


@contextmanager
def _caches_deleted(nemesis: Nemesis) -> Iterator[None]:
    """A random part of all that may vanish, a key at a time."""
    with nemesis.system.redis() as client:
        share = nemesis.chance.choice((0.05, 0.5, 1.0))
        for key in client.scan_iter(count=1_000):
            if nemesis.chance.random() < share and client.pttl(key) >= 0:
                client.delete(key)
    yield


@contextmanager
def _memory_full(nemesis: Nemesis) -> Iterator[None]:
    """The server evicts what it may, and then refuses."""
    with nemesis.system.redis() as client:
        used = int(client.info("memory")["used_memory"])
        client.config_set("maxmemory", int(used * nemesis.chance.uniform(0.5, 0.99)))
        nemesis.hold(0.5, 2)
    yield
    with nemesis.system.redis() as client:
        client.config_set("maxmemory", 0)


@contextmanager
def _store_paused(nemesis: Nemesis) -> Iterator[None]:
    nemesis.system.store.signal(signal.SIGSTOP)
    nemesis.hold(0.5, MAX_PAUSE_S)
    nemesis.system.store.signal(signal.SIGCONT)
    yield


@contextmanager
def _clock_stepped(nemesis: Nemesis) -> Iterator[None]:
    """Ahead or back; and then back to the right time."""
    nemesis.system.store.set_clock(nemesis.chance.choice((-60, -5, -1, 1, 5, 60)))
    nemesis.hold(0.5, 3)
    yield
    nemesis.system.store.set_clock(0)


# -- the network -----------------------------------------------------------------------------------


@contextmanager
def _cut(store: str, nemesis: Nemesis) -> Iterator[None]:
    """Between one worker and a store, or all workers and it."""
    links = nemesis.system.links[store]
    chosen = nemesis.chance.sample(links, nemesis.chance.randint(1, len(links)))
    how = nemesis.chance.choice((Cut.SILENT, Cut.ANSWERS, Cut.REFUSED))
    for link in chosen:
        link.cut(how)
    nemesis.hold(0.5, 4)
    yield
    for link in chosen:
        link.cut(Cut.NONE)


KINDS: list[Kind] = [
    Kind("worker child killed", "worker", _child_killed),
    Kind("worker killed", "worker", partial(_killed, _any_worker)),
    Kind("worker stopped beyond its lease", "worker", _worker_frozen),
    *(
        Kind(f"worker killed {place}", "trap", partial(_trapped, place, traps.KILL))
        for place in traps.PLACES
    ),
    *(
        Kind(f"worker stopped {place}", "trap", partial(_trapped, place, traps.STOP))
        for place in traps.PLACES
    ),
    *(
        Kind(
            f"error of the driver: {error}",
            "trap",
            partial(_trapped, traps.BEFORE_STATEMENT, error),
        )
        for error in traps.ERRORS
    ),
    Kind("beat killed", "beat", partial(_killed, _one_or_both_beats)),
    Kind("writer killed", "writer", partial(_killed, _any_writer)),
    Kind("broker stopped", "broker", _broker_stopped),
    Kind("broker restarted, its queue lost", "broker", _queue_lost),
    Kind("tasks delivered twice and late", "broker", _delivered_again),
    Kind("backends terminated", "postgres", _backends_terminated),
    Kind("PostgreSQL killed", "postgres", _postgres_killed),
    Kind("PostgreSQL refuses connections", "postgres", _connections_refused),
    Kind("statements time out", "postgres", _table_locked),
    Kind("deadlock", "postgres", _deadlocked),
    Kind("Redis killed", "redis", _store_killed),
    Kind("SCRIPT FLUSH", "redis", _scripts_flushed),
    Kind("cache keys deleted", "redis", _caches_deleted),
    Kind("Redis out of memory", "redis", _memory_full),
    Kind("Redis stopped for seconds", "redis", _store_paused),
    *([Kind("clock of Redis stepped", "redis", _clock_stepped)] if FAKETIME else []),
    Kind("workers cut off from Redis", "network", partial(_cut, "store")),
    Kind("workers cut off from PostgreSQL", "network", partial(_cut, "postgres")),
    Kind("workers cut off from the broker", "network", partial(_cut, "broker")),
]

"""Publishes wake-ups to the broker in a thread of its own, so that no caller waits for the broker.

``react()`` requests drains of shards; reads request loads of posts and users. Each process has one
daemon thread for all spaces. It gathers shards for ``wake_interval_s`` or longer, and publishes one
message for all of a space: a burst of thousands of reactions costs a few messages. When the broker
fails, a circuit breaker stops the thread from retrying at once, and the shards wait here; there are
at most 100 of each space. If the process dies with shards that wait, the sweep of Beat finds them.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from reactions.api.publisher import Publisher
from reactions.core.constants import DEFAULT_SPACE
from reactions.core.errors import ReactionsError
from reactions.core.instruments import WAKEUP_MESSAGES, WAKEUPS
from reactions.core.logs import event
from reactions.core.model import RelayStats
from reactions.core.settings import Settings
from reactions.core.tracing import headers, span
from reactions.redis.connection import Client, connect
from reactions.redis.keys import keys_of
from reactions.redis.pipeline import Command, run_all

log = logging.getLogger(__name__)

BREAKER_FIRST_S = 0.5
"""How long the breaker stays open after the first failure, in seconds. Each failure doubles it."""

MAX_BREAKER_S = 5.0
"""The longest time that the breaker stays open, in seconds."""

LOAD_EXPIRES_S = 10.0
"""How long a request for a load is valid, in seconds. A later read repeats it if needed."""

MAX_WAITING_LOADS = 200
"""The most posts, and the most users, that wait to be requested. Later reads repeat the others."""

BUSY_SHARDS = 4
"""With more shards than this in one window, the next window is the shortest one."""

MAX_WINDOW = 4
"""The longest window, in multiples of ``wake_interval_s``. By default it is 0.6 s, so a reaction is
durable within a second."""

_relays: weakref.WeakSet[Relay] = weakref.WeakSet()


@dataclass
class Wanted:
    """What waits to be requested for one space."""

    shards: set[int] = field(default_factory=set)
    posts: set[int] = field(default_factory=set)
    users: set[int] = field(default_factory=set)


class Relay:
    """Deduplicates and publishes wake-ups. It is thread-safe, and empty in a forked child."""

    def __init__(self, settings: Settings, after: Callable[[Client], None] | None = None) -> None:
        """Make the relay; ``after`` is called in its thread now and then, with its client."""
        self._settings = settings
        self._followers = [] if after is None else [after]
        self._fresh()
        _relays.add(self)

    def _fresh(self) -> None:
        """Start with empty state. A forked child has neither the thread nor the sockets."""
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._hurry = threading.Event()
        self._wanted_of: defaultdict[str, Wanted] = defaultdict(Wanted)
        self._thread: threading.Thread | None = None
        self._publisher: Publisher | None = None
        # A client of its own: a lock of the shared pool, held by this thread while the process
        # forks, would stay locked in the child.
        self._client: Client | None = None
        self._requested = self._published = self._shards_published = 0
        self._failed = self._dropped = 0

    def follow(self, after: Callable[[Client], None]) -> None:
        """Call this in the thread, too, now and then."""
        self._followers.append(after)

    def request(self, shard: int, space: str = DEFAULT_SPACE) -> None:
        """Request a drain of a shard of a space. Returns at once, whatever the broker does."""
        with self._lock:
            self._requested += 1
            if self._closing.is_set():
                self._dropped += 1
                return
            self._wanted_of[space].shards.add(shard)
            if self._thread is None:
                self._start()
        self._wanted.set()

    def request_load(self, post_id: int, space: str = DEFAULT_SPACE, *, hurry: bool = True) -> None:
        """Request a load of a post. Best effort: the request is lost when the broker fails.

        Args:
            hurry: publish it without gathering others. A reader may come back within the window.
        """
        with self._lock:
            posts = self._wanted_of[space].posts
            if self._closing.is_set() or len(posts) >= MAX_WAITING_LOADS:
                return
            posts.add(post_id)
            if self._thread is None:
                self._start()
        if hurry:
            self._hurry.set()
        self._wanted.set()

    def request_user_load(self, user_id: int, space: str = DEFAULT_SPACE) -> None:
        """Request a load of all reactions of a user. Best effort, as ``request_load``."""
        with self._lock:
            users = self._wanted_of[space].users
            if self._closing.is_set() or len(users) >= MAX_WAITING_LOADS:
                return
            users.add(user_id)
            if self._thread is None:
                self._start()
        self._wanted.set()

    def look(self) -> None:
        """Call ``after`` soon. Returns at once."""
        with self._lock:
            if self._closing.is_set():
                return
            if self._thread is None:
                self._start()
        self._wanted.set()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="reactions-relay", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # too many threads, or the interpreter exits; the reaction is recorded
            self._failed += 1
        else:
            self._thread = thread

    def stats(self) -> RelayStats:
        """Return the counters since the start of this process."""
        with self._lock:
            return RelayStats(
                self._requested,
                self._published,
                self._shards_published,
                self._failed,
                self._dropped,
            )

    def close(self, timeout_s: float = 1.0) -> None:
        """Publish what waits, and stop within about ``timeout_s``. May be repeated."""
        self._closing.set()
        self._hurry.set()
        self._wanted.set()
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        with self._lock:
            for wanted in self._wanted_of.values():
                self._dropped += len(wanted.shards)
                wanted.shards.clear()

    def _run(self) -> None:
        pause, window = 0.0, self._settings.wake_interval_s
        while True:
            self._wanted.wait()
            # Gather, unless a read wants a load. After a failure, wait for the breaker.
            (self._closing if pause else self._hurry).wait(max(pause, window))
            self._hurry.clear()
            self._wanted.clear()
            with self._lock:
                wanted, self._wanted_of = self._wanted_of, defaultdict(Wanted)
            window = self._next_window(window, sum(len(it.shards) for it in wanted.values()))
            self._forget_answered(wanted)
            if any(it.shards or it.posts or it.users for it in wanted.values()):
                pause = self._publish(wanted, pause)
            if self._closing.is_set():
                if self._client is not None:
                    self._client.close()
                return

    def _next_window(self, window: float, gathered: int) -> float:
        """Return the next window: ``wake_interval_s`` under load, a longer one at a low rate.

        A drain of one change costs nearly as much as a drain of ten.
        """
        shortest = self._settings.wake_interval_s
        if gathered > BUSY_SHARDS:
            return shortest
        return min(window * 1.5, shortest * MAX_WINDOW)

    def _forget_answered(self, wanted: Mapping[str, Wanted]) -> None:
        """Drop the shards whose wake-up a drain has answered; none if Redis fails."""
        shards = [
            (it, keys_of(space), shard) for space, it in wanted.items() for shard in it.shards
        ]
        if not shards and (not self._followers or self._closing.is_set()):
            return
        try:
            if self._client is None:
                self._client = connect(self._settings)
            wakes = [Command(("GET", keys.outbox_wake(shard))) for _, keys, shard in shards]
            found = run_all(self._client, wakes) if wakes else []
            for follower in self._followers:
                follower(self._client)
        except ReactionsError:
            return
        for (of_space, _, shard), wake in zip(shards, found, strict=True):
            if wake is None:
                of_space.shards.discard(shard)

    def _publish(self, wanted: Mapping[str, Wanted], pause: float) -> float:
        """Publish one message of each kind and space. Returns how long to wait after a failure."""
        try:
            if self._publisher is None:
                self._publisher = Publisher(self._settings)
            for space, of_space in wanted.items():
                self._send(self._publisher, space, of_space)
        except Exception as error:  # noqa: BLE001 - a transport may raise anything
            if not pause:  # log once for each outage
                log.warning(
                    "cannot publish wake-ups, so the sweep drains the shards for now: %s", error
                )
            WAKEUP_MESSAGES.labels("failed").inc()
            with self._lock:
                self._failed += 1
                for space, of_space in wanted.items():
                    self._wanted_of[space].shards |= of_space.shards
                if not any(it.shards for it in self._wanted_of.values()):
                    return min(max(BREAKER_FIRST_S, pause * 2), MAX_BREAKER_S)
            self._wanted.set()
            return min(max(BREAKER_FIRST_S, pause * 2), MAX_BREAKER_S)
        return 0.0

    def _send(self, publisher: Publisher, space: str, wanted: Wanted) -> None:
        """Publish what is wanted of one space, and take it from ``wanted``."""
        from reactions.core.celery_app import DRAIN, LOAD

        which = {} if space == DEFAULT_SPACE else {"space": space}
        if wanted.shards:
            shards = sorted(wanted.shards)
            with span("reactions.wake") as wake:
                wake.note(shards=shards)
                sent = publisher.send(DRAIN, kwargs={"shards": shards, **which}, headers=headers())
            event(log, logging.DEBUG, "wake-up sent", wake=sent.id, shards=shards, **which)
            wanted.shards.clear()
            WAKEUPS.inc(len(shards))
            WAKEUP_MESSAGES.labels("published").inc()
            with self._lock:
                self._published += 1
                self._shards_published += len(shards)
        if wanted.posts or wanted.users:
            loads = {"posts": sorted(wanted.posts), "users": sorted(wanted.users)}
            publisher.send(LOAD, kwargs={**loads, **which}, expires=LOAD_EXPIRES_S)


def _after_fork() -> None:
    for relay in list(_relays):
        relay._fresh()


def _at_exit() -> None:
    deadline = time.monotonic() + 1.0
    for relay in list(_relays):
        relay.close(max(0.0, deadline - time.monotonic()))


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)

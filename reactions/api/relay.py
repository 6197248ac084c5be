"""Publishes wake-ups to the broker in a thread of its own, so that no caller waits for the broker.

``react()`` requests drains of shards; reads request loads of posts and users. Each process has one
daemon thread. It gathers shards for ``wake_interval_s`` or longer, and publishes one message for
all of them: a burst of thousands of reactions costs a few messages. When the broker fails, a
circuit breaker stops the thread from retrying at once, and the shards wait here; there are at most
100. If the process dies with shards that wait, the sweep of Beat finds them.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable

from reactions.api.publisher import Publisher
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


class Relay:
    """Deduplicates and publishes wake-ups. It is thread-safe, and empty in a forked child."""

    def __init__(self, settings: Settings, after: Callable[[Client], None] | None = None) -> None:
        """Make the relay; ``after`` is called in its thread now and then, with its client."""
        self._settings = settings
        self._after = after
        self._fresh()
        _relays.add(self)

    def _fresh(self) -> None:
        """Start with empty state. A forked child has neither the thread nor the sockets."""
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._hurry = threading.Event()
        self._shards: set[int] = set()
        self._posts: set[int] = set()
        self._users: set[int] = set()
        self._thread: threading.Thread | None = None
        self._publisher: Publisher | None = None
        # A client of its own: a lock of the shared pool, held by this thread while the process
        # forks, would stay locked in the child.
        self._client: Client | None = None
        self._requested = self._published = self._shards_published = 0
        self._failed = self._dropped = 0

    def request(self, shard: int) -> None:
        """Request a drain of a shard. Returns at once, whatever the broker does."""
        with self._lock:
            self._requested += 1
            if self._closing.is_set():
                self._dropped += 1
                return
            self._shards.add(shard)
            if self._thread is None:
                self._start()
        self._wanted.set()

    def request_load(self, post_id: int, *, hurry: bool = True) -> None:
        """Request a load of a post. Best effort: the request is lost when the broker fails.

        Args:
            hurry: publish it without gathering others. A reader may come back within the window.
        """
        with self._lock:
            if self._closing.is_set() or len(self._posts) >= MAX_WAITING_LOADS:
                return
            self._posts.add(post_id)
            if self._thread is None:
                self._start()
        if hurry:
            self._hurry.set()
        self._wanted.set()

    def request_user_load(self, user_id: int) -> None:
        """Request a load of all reactions of a user. Best effort, as ``request_load``."""
        with self._lock:
            if self._closing.is_set() or len(self._users) >= MAX_WAITING_LOADS:
                return
            self._users.add(user_id)
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
            self._dropped += len(self._shards)
            self._shards.clear()

    def _run(self) -> None:
        pause, window = 0.0, self._settings.wake_interval_s
        while True:
            self._wanted.wait()
            # Gather, unless a read wants a load. After a failure, wait for the breaker.
            (self._closing if pause else self._hurry).wait(max(pause, window))
            self._hurry.clear()
            self._wanted.clear()
            with self._lock:
                shards, self._shards = self._shards, set()
                posts, self._posts = self._posts, set()
                users, self._users = self._users, set()
            window = self._next_window(window, len(shards))
            waiting = self._waiting(sorted(shards))
            if waiting or posts or users:
                pause = self._publish(waiting, sorted(posts), sorted(users), pause)
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

    def _waiting(self, shards: list[int]) -> list[int]:
        """Return the shards whose wake-up no drain has answered; all of them if Redis fails."""
        if not shards and (self._after is None or self._closing.is_set()):
            return shards
        try:
            if self._client is None:
                self._client = connect(self._settings)
            wakes = [Command(("GET", keys_of(self._settings.space).outbox_wake(s))) for s in shards]
            found = run_all(self._client, wakes) if wakes else []
            if self._after is not None:
                self._after(self._client)
        except ReactionsError:
            return shards
        return [shard for shard, wake in zip(shards, found, strict=True) if wake is not None]

    def _publish(
        self, shards: list[int], posts: list[int], users: list[int], pause: float
    ) -> float:
        """Publish one message of each kind. Returns how long to wait after a failure, or 0."""
        from reactions.core.celery_app import DRAIN, LOAD

        try:
            if self._publisher is None:
                self._publisher = Publisher(self._settings)
            if shards:
                with span("reactions.wake") as wake:
                    wake.note(shards=shards)
                    sent = self._publisher.send(DRAIN, kwargs={"shards": shards}, headers=headers())
                event(log, logging.DEBUG, "wake-up sent", wake=sent.id, shards=shards)
            if posts or users:
                wanted = {"posts": posts, "users": users}
                self._publisher.send(LOAD, kwargs=wanted, expires=LOAD_EXPIRES_S)
        except Exception as error:  # noqa: BLE001 - a transport may raise anything
            if not pause:  # log once for each outage
                log.warning(
                    "cannot publish wake-ups, so the sweep drains the shards for now: %s", error
                )
            WAKEUP_MESSAGES.labels("failed").inc()
            with self._lock:
                self._failed += 1
                self._shards.update(shards)
                if not self._shards:
                    return min(max(BREAKER_FIRST_S, pause * 2), MAX_BREAKER_S)
            self._wanted.set()
            return min(max(BREAKER_FIRST_S, pause * 2), MAX_BREAKER_S)
        if shards:
            WAKEUPS.inc(len(shards))
            WAKEUP_MESSAGES.labels("published").inc()
        with self._lock:
            self._published += bool(shards)
            self._shards_published += len(shards)
        return 0.0


def _after_fork() -> None:
    for relay in list(_relays):
        relay._fresh()


def _at_exit() -> None:
    deadline = time.monotonic() + 1.0
    for relay in list(_relays):
        relay.close(max(0.0, deadline - time.monotonic()))


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)

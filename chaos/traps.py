"""Traps between the steps of a drain: the nemesis sets one, and a worker that comes by springs it.

A trap is a file, named for its place, that holds what is to happen. A worker takes it by renaming
it, so each springs once; its new name says who sprang it.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
from sqlalchemy import event

from reactions.drain.persister import Persister
from reactions.drain.refill import Refill
from reactions.postgres.database import Database
from reactions.postgres.ledger import Ledger
from reactions.redis.cache_install import CacheInstall
from reactions.redis.outbox import Outbox
from reactions.redis.user_cache import UserCache

FOLDER = "CHAOS_TRAPS"
"""Environment: where traps are set."""

KILL, STOP = "kill", "stop"

ERRORS = {
    "disk full": psycopg2.errors.DiskFull,
    "statement timed out": psycopg2.errors.QueryCanceled,
    "deadlock victim": psycopg2.errors.DeadlockDetected,
    "out of memory": psycopg2.errors.OutOfMemory,
    "shut down": psycopg2.errors.AdminShutdown,
    "too many connections": psycopg2.errors.TooManyConnections,
}
"""What a driver raises; each is raised where a statement of a drain is executed."""

BEFORE_HASH = "before a hash is installed"
BEFORE_STATEMENT = "before a statement"

_STEPS: dict[str, tuple[type, Callable[..., Any], bool]] = {
    "before the claim": (Outbox, Outbox.claim, True),
    "after the claim": (Outbox, Outbox.claim, False),
    "before the transaction": (Ledger, Ledger.record, True),
    "after the commit": (Ledger, Ledger.record, False),
    "after a piece of a large post": (Outbox, Outbox.trim, False),
    "before the settlement": (UserCache, UserCache.write_through, False),
    "after the settlement": (Outbox, Outbox.settle, False),
    "before caches are filled": (Refill, Refill.fill, True),
    BEFORE_HASH: (CacheInstall, CacheInstall.install_hashes, True),
    "before a sample is installed": (CacheInstall, CacheInstall.install_sample, True),
    "after the drain": (Persister, Persister.drain, False),
}
"""Place -> class, method, and whether the place is at the method's beginning or at its end."""

PLACES = (*_STEPS, BEFORE_STATEMENT)

_recording = threading.local()


def folder() -> Path:
    return Path(os.environ[FOLDER])


def put(where: Path, place: str, what: str) -> Path:
    """Set a trap: what is to happen to the next worker that comes by."""
    path = where / place
    fresh = where / f"{place}.new"
    fresh.write_text(what)
    fresh.rename(path)
    return path


def sprung(path: Path) -> int | None:
    """The process that sprang it, once one has."""
    for found in path.parent.glob(f"{path.name}.by.*"):
        return int(found.suffix[1:])
    return None


def clear(path: Path) -> None:
    """Take it away, sprung or not."""
    for found in (path, *path.parent.glob(f"{path.name}.by.*")):
        found.unlink(missing_ok=True)


def install() -> None:
    """Lay the places in this process's code."""
    for place, (owner, method, begins) in _STEPS.items():
        name = method.__name__
        setattr(owner, name, _with_place(getattr(owner, name), place, begins=begins))
    record = Ledger.record

    @functools.wraps(record)
    def recording(*args: Any, **options: Any) -> Any:
        _recording.on = True
        try:
            return record(*args, **options)
        finally:
            _recording.on = False

    Ledger.record = recording  # type: ignore[method-assign]
    made = Database.__init__

    @functools.wraps(made)
    def listening(self: Database, *args: Any, **options: Any) -> None:
        made(self, *args, **options)
        event.listen(self.engine, "do_execute", lambda *_: _pass(BEFORE_STATEMENT))

    Database.__init__ = listening  # type: ignore[method-assign]


def _with_place(method: Callable[..., Any], place: str, *, begins: bool) -> Callable[..., Any]:
    @functools.wraps(method)
    def passing(*args: Any, **options: Any) -> Any:
        if begins:
            _spring(place)
        result = method(*args, **options)
        if not begins:
            _spring(place)
        return result

    return passing


def _pass(place: str) -> None:
    """A place that all transactions have, but only that of a batch counts."""
    if getattr(_recording, "on", False):
        _spring(place)


def _spring(place: str) -> None:
    path = folder() / place
    if not path.exists():
        return
    mine = path.with_name(f"{place}.by.{os.getpid()}")
    try:
        path.rename(mine)
    except FileNotFoundError:
        return  # another one was first
    what = mine.read_text()
    if what == KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == STOP:
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        raise ERRORS[what](what)

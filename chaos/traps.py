"""Traps between the steps of a drain: the nemesis sets one, and the next worker there springs it.

A trap is a file. Its name is the place, its content what happens. A worker springs it by renaming
it, so each trap springs once; the new name contains the process id of the worker.
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
"""The environment variable that names the folder of the traps."""

KILL, STOP = "kill", "stop"

ERRORS = {
    "disk full": psycopg2.errors.DiskFull,
    "statement timed out": psycopg2.errors.QueryCanceled,
    "deadlock victim": psycopg2.errors.DeadlockDetected,
    "out of memory": psycopg2.errors.OutOfMemory,
    "shut down": psycopg2.errors.AdminShutdown,
    "too many connections": psycopg2.errors.TooManyConnections,
}
"""Errors of the driver, raised before a statement of a drain."""

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
    """Set a trap; ``what`` is KILL, STOP, or one of the ERRORS."""
    path = where / place
    fresh = where / f"{place}.new"
    fresh.write_text(what)
    fresh.rename(path)
    return path


def sprung(path: Path) -> int | None:
    """The id of the process that sprang the trap, if one did."""
    for found in path.parent.glob(f"{path.name}.by.*"):
        return int(found.suffix[1:])
    return None


def clear(path: Path) -> None:
    """Remove a trap, sprung or not."""
    for found in (path, *path.parent.glob(f"{path.name}.by.*")):
        found.unlink(missing_ok=True)


def install() -> None:
    """Wrap the methods of this process, so that they spring traps."""
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
        # First in line: the engine's own listener executes the statement, and ends the line.
        event.listen(self.engine, "do_execute", lambda *_: _pass(BEFORE_STATEMENT), insert=True)

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
    """Spring a trap before a statement, but only while a batch is recorded."""
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
        return  # another process was first
    what = mine.read_text()
    if what == KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == STOP:
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        raise ERRORS[what](what)

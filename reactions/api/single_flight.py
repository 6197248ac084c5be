"""Single flight: threads that miss the same key at the same time share one load."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Generic, TypeVar

from reactions.core.blocking import DIRECT, Blocking

Key = TypeVar("Key")
Value = TypeVar("Value")


class SingleFlight(Generic[Key, Value]):
    """Joins concurrent loads of the same key within this process."""

    def __init__(self, blocking: Blocking = DIRECT) -> None:
        self._blocking = blocking
        self._lock = threading.Lock()
        self._flying: dict[Key, Future[Value]] = {}

    def load(
        self,
        keys: Collection[Key],
        query: Callable[[list[Key]], Mapping[Key, Value]],
        wait_s: float,
    ) -> dict[Key, Value]:
        """Return the values of these keys.

        Args:
            keys: the keys; duplicates are allowed.
            query: returns the values of the keys that no other thread loads now. It is called even
                if there are none, as it may have other work to do.
            wait_s: how long to wait for another thread, in seconds. If that thread ends before
                its load does, the keys are loaded here.

        Raises:
            TimeoutError: another thread did not finish within ``wait_s``.
            Exception: what ``query`` raised, here or in another thread.
        """
        mine: dict[Key, Future[Value]] = {}
        others: dict[Key, Future[Value]] = {}
        with self._lock:
            for key in keys:
                if key in self._flying:
                    others[key] = self._flying[key]
                else:
                    mine[key] = self._flying[key] = Future()
        try:
            found = query(list(mine))
            for key, future in mine.items():
                future.set_result(found[key])
        except BaseException as error:
            # Neither SystemExit nor a cancellation is for the waiting threads: it ends this one.
            failure = error if isinstance(error, Exception) else _LoaderEnded()
            for future in mine.values():
                if not future.done():
                    future.set_exception(failure)
            raise
        finally:
            with self._lock:
                for key in mine:
                    del self._flying[key]
        values = {key: future.result() for key, future in mine.items()}
        orphans: list[Key] = []
        for key, future in others.items():
            try:
                values[key] = self._blocking.wait(future, wait_s)
            except _LoaderEnded:
                orphans.append(key)
        return {**values, **self.load(orphans, query, wait_s)} if orphans else values


class _LoaderEnded(Exception):
    """The thread that loaded a key ended in the middle."""

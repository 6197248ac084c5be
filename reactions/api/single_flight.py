"""Single flight: threads that miss the same key at the same time share one load."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class SingleFlight(Generic[Key, Value]):
    """Joins concurrent loads of the same key within this process."""

    def __init__(self) -> None:
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
            wait_s: how long to wait for another thread, in seconds.

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
            # Do not pass SystemExit to the waiting threads: it ends this thread only.
            failure = (
                error if isinstance(error, Exception) else TimeoutError("the loading thread ended")
            )
            for future in mine.values():
                if not future.done():
                    future.set_exception(failure)
            raise
        finally:
            with self._lock:
                for key in mine:
                    del self._flying[key]
        return {
            **{key: future.result() for key, future in mine.items()},
            **{key: future.result(wait_s) for key, future in others.items()},
        }

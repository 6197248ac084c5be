"""Single flight: of several threads that miss the same keys at once, one asks, and all get it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class SingleFlight(Generic[Key, Value]):
    """Joins concurrent loads of the same key, within this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flying: dict[Key, Future[Value]] = {}

    def load(
        self, keys: Collection[Key], ask: Callable[[list[Key]], Mapping[Key, Value]], wait_s: float
    ) -> dict[Key, Value]:
        """The values of these keys: asked for together, but for those another thread asks for.

        ``ask`` is called even with no keys left, as it may have more to do.

        Raises:
            TimeoutError: another thread did not come back within wait_s.
            Exception: what ``ask`` raised, here or in the thread that asked.
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
            found = ask(list(mine))
            for key, future in mine.items():
                future.set_result(found[key])
        except BaseException as error:
            # What ends this thread only, SystemExit for one, is not for those who wait.
            failure = error if isinstance(error, Exception) else TimeoutError("who asked is gone")
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

"""Runs functions that wait, in greenlets of an event loop.

The synchronous client is the only one that knows what is sent and how replies are read. Here, a
greenlet runs its code; where that code waits, ``wait`` hands an awaitable to the event loop, and
comes back with the answer. SQLAlchemy's asyncio extension works the same way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

Answer = TypeVar("Answer")

MAX_IDLE = 64
"""Greenlets that a loop keeps for the next calls. A new one costs as much as ten switches."""


class _Done:
    """What a call came to."""

    __slots__ = ("error", "value")

    def __init__(self, call: Callable[[], Any]) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        try:
            self.value = call()
        except BaseException as error:  # noqa: BLE001 - it is raised where the call is awaited
            self.error = error


def _work(call: Callable[[], Any]) -> None:
    while True:
        call = getcurrent().parent.switch(_Done(call))


def wait(awaitable: Awaitable[Answer]) -> Answer:
    """Await something; only in code that ``Greenlets.run`` runs.

    Raises:
        BaseException: what the awaitable raised, and CancelledError if the caller is cancelled.
    """
    parent = getcurrent().parent
    assert parent is not None, "call it in Greenlets.run()"  # noqa: S101 - a defect
    return parent.switch(awaitable)  # type: ignore[no-any-return] # the driver answers


class Greenlets:
    """The greenlets of one event loop."""

    def __init__(self) -> None:
        self._idle: list[greenlet] = []

    async def run(self, call: Callable[[], Answer]) -> Answer:
        """Call a function that may call ``wait``, and return its answer.

        Raises:
            BaseException: what it raised.
        """
        worker = self._idle.pop() if self._idle else greenlet(_work)
        worker.parent = getcurrent()
        worker.gr_context = copy_context()  # spans of the caller are parents of those inside
        step: Any = worker.switch(call)
        while type(step) is not _Done:
            try:
                found = await step
            except BaseException as error:  # noqa: BLE001 - the function decides what it means
                step = worker.throw(error)
            else:
                step = worker.switch(found)
        value, failure = step.value, step.error
        step.value = step.error = None  # the greenlet that is kept has a reference to it
        if len(self._idle) < MAX_IDLE:
            self._idle.append(worker)
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback refers to this frame
        return value  # type: ignore[no-any-return] # what the function returned

"""Web processes of a benchmark: they start together, and each hands one result to the parent."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

START_S = 300.0
"""How long a process may take until it is ready."""

Work = Callable[..., object]
"""``work(meet, *arguments)`` prepares itself, calls ``meet()``, and returns a result."""


class Processes:
    """Spawned processes that run the same work; ``results`` are those received so far."""

    def __init__(self, work: Work, environment: Mapping[str, str], calls: Sequence[Any]) -> None:
        """
        Args:
            environment: environment variables that each process sets first.
            calls: the arguments of each process, one tuple a process.
        """
        context = multiprocessing.get_context("spawn")
        self._barrier: Any = context.Barrier(len(calls) + 1)
        self._queue: Any = context.SimpleQueue()
        self.results: list[Any] = []
        self._processes = [
            context.Process(
                target=_run,
                args=(work, dict(environment), call, self._barrier, self._queue),
                daemon=True,
            )
            for call in calls
        ]

    def meet(self) -> None:
        """Wait until all processes are ready, and let them begin.

        Raises:
            RuntimeError: a process failed.
        """
        meet(self._barrier, self._queue)

    def finished(self) -> bool:
        """Receive what is there; True once every process has handed over its result.

        Raises:
            RuntimeError: a process failed, or all died without a result.
        """
        while not self._queue.empty():
            result = self._queue.get()
            if isinstance(result, Exception):
                raise result
            self.results.append(result)
        if not self.results and not any(process.is_alive() for process in self._processes):
            raise RuntimeError("the web processes died without a result")
        return len(self.results) == len(self._processes)

    def start(self) -> None:
        for process in self._processes:
            process.start()

    def kill(self) -> None:
        for process in self._processes:
            process.kill()


@contextmanager
def web_processes(
    work: Work, environment: Mapping[str, str], calls: Sequence[Any]
) -> Iterator[Processes]:
    """Start the processes and wait until all are ready; kill those that still run at the end."""
    made = Processes(work, environment, calls)
    made.start()
    try:
        made.meet()
        yield made
    finally:
        made.kill()


def shared_counters(number: int) -> Any:  # noqa: ANN401 - multiprocessing has no public types
    """Counters that the parent reads while the processes write: an array of 64-bit numbers."""
    return multiprocessing.get_context("spawn").RawArray("Q", number)


def shared_codes(number: int, code: int) -> Any:  # noqa: ANN401 - as above
    """An array of bytes that parent and processes share; each is ``code`` at first."""
    codes = multiprocessing.get_context("spawn").RawArray("B", number)
    codes[:] = [code] * number
    return codes


def meet(barrier: Any, results: Any) -> None:  # noqa: ANN401 - as above
    """Wait at a barrier for all processes.

    Raises:
        RuntimeError: a process failed; it has put its exception among the results.
    """
    try:
        barrier.wait(START_S)
    except threading.BrokenBarrierError:
        if not results.empty():
            raise results.get() from None
        raise


def _run(
    work: Work,
    environment: dict[str, str],
    call: Sequence[Any],
    barrier: Any,  # noqa: ANN401 - as above
    results: Any,  # noqa: ANN401
) -> None:
    try:
        os.environ.update(environment)
        results.put(work(lambda: barrier.wait(START_S), *call))
    except Exception as error:  # noqa: BLE001 - the parent raises it
        results.put(RuntimeError(f"a web process failed: {error!r}"))
        barrier.abort()

"""Waits for conditions. A slow or busy machine gets more time.

Every timeout of the tests is meant for a quiet machine, and is multiplied by a factor. The factor
is measured when a session starts, or given by the environment variable ``TEST_PATIENCE``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

VARIABLE = "TEST_PATIENCE"
MAX_FACTOR = 10.0
"""A hung test still ends, also where the machine is slower than this."""

MIN_PAUSE_S = 0.01
MAX_PAUSE_S = 0.5
"""Pauses between two looks at a condition."""

QUIET_S = 0.1
"""What `_work` takes on a quiet core at about 2.5 GHz."""


def measure() -> float:
    """Return how many times slower than a quiet one the machine is now: 1 to `MAX_FACTOR`.

    It is the larger of two ratios: a fixed piece of work to `QUIET_S`, and the number of runnable
    processes in the last minute to that of cores. Costs about 0.1 s on a quiet machine.
    """
    started = time.perf_counter()
    _work()
    slowness = (time.perf_counter() - started) / QUIET_S
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    return min(max(slowness, waiting, 1.0), MAX_FACTOR)


def _work() -> int:
    return sum(number * number for number in range(1_500_000))


def session_factor() -> float:
    """Return the factor of this session. The first call measures it, for child processes too."""
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = f"{measure():.2f}"
    return float(os.environ[VARIABLE])


def patience(seconds: float) -> float:
    """Return how long to wait here for what takes at most so many seconds on a quiet machine."""
    return seconds * session_factor()


def patient() -> dict[str, Any]:
    """Settings for a test of something else: PostgreSQL may take long, since the machine may stall.

    With the defaults, a read fails when PostgreSQL does not answer within 1.5 s.
    """
    return {"database_timeout_s": patience(20), "read_timeout_s": min(60.0, patience(10))}


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Check that the block does not hang: it ends within ``patience(seconds)``.

    If the machine has become busier since the session started, it may take longer accordingly.
    """
    started = time.monotonic()
    yield
    taken = time.monotonic() - started
    if taken > patience(seconds):
        assert taken < seconds * measure(), f"took {taken:.1f} s"


def wait_until(condition: Callable[[], object], seconds: float = 20.0, what: str = "") -> None:
    """Wait until the condition is true; fail after ``patience(seconds)``.

    If the machine has become busier since the session started, wait longer accordingly. The pauses
    are as long as the condition takes, so that a costly one leaves the processor to what it waits
    for.
    """
    started, allowed = time.monotonic(), patience(seconds)
    asked = started
    while not condition():
        now = time.monotonic()
        waited = now - started
        if waited > allowed:
            allowed = max(allowed, seconds * measure())
            assert waited < allowed, f"not within {waited:.1f} s: {what or condition}"
        time.sleep(min(max(now - asked, MIN_PAUSE_S), MAX_PAUSE_S))
        asked = time.monotonic()

"""Waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], object],
    seconds: float,
    what: str,
    *,
    every_s: float = 0.01,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Poll until the condition holds.

    Args:
        what: what was expected, for the error.
        meanwhile: called between two polls, for example to restart processes that died.

    Raises:
        TimeoutError: the condition did not hold within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        meanwhile()
        time.sleep(every_s)

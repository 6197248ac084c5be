"""The project's Celery application in a hurry: all that Beat sends is due every second.

``celery -A tests.tasks.hasty``. Here workers also meet at a duty, which short runs would
hardly ever do: one that has begun a run lingers until another one has asked for the same duty and
has its answer. What came of it is noted in the broker, for the test.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache

from redis import Redis

from reactions.postgres.duty_runs import LEASE, DutyRuns, Run
from reactions.tasks import app
from reactions.tasks.app import settings

__all__ = ["app"]

EVERY = timedelta(seconds=1)
EXPIRES_S = 5.0
"""As in the real schedule, what waits too long is dropped, so that a slow machine keeps up."""

# Environment: the longest lease of a duty, and how long a run lingers for another one, in seconds.
LEASE_S = float(os.environ.get("HASTY_LEASE_S", LEASE.total_seconds()))
LINGER_S = float(os.environ.get("HASTY_LINGER_S", "0"))

ANSWERED = "hasty:answered"
"""Hash duty -> how often a worker asked for it and was told yes or no."""
REFUSED = "hasty:refused"
"""Hash duty -> how often it was told that another one is at it."""
INSIDE = "hasty:inside"
"""Hash duty -> process that is at it."""
TOGETHER = "hasty:together"
"""Set of duties that two were at together."""

LINGERS = "hasty:lingers"
"""String: the duty at which somebody lingers."""

for _entry in app.conf.beat_schedule.values():
    _entry["schedule"] = EVERY
    _entry["options"]["expires"] = EXPIRES_S

_run = DutyRuns.run


@contextmanager
def _contested(
    self: DutyRuns, duty: str, lease: timedelta = LEASE, *, quiet: bool = False
) -> Iterator[Run | None]:
    """``DutyRuns.run``, at which workers meet."""
    with _run(self, duty, min(lease, timedelta(seconds=LEASE_S)), quiet=quiet) as run:
        answered = int(_broker().hincrby(ANSWERED, duty))
        if run is None:
            _broker().hincrby(REFUSED, duty)
            yield None
            return
        if not _broker().hset(INSIDE, duty, str(os.getpid())):  # somebody is there already
            _broker().sadd(TOGETHER, duty)
        try:
            _linger(duty, answered)
            yield run
        finally:
            _broker().hdel(INSIDE, duty)


def _linger(duty: str, answered: int) -> None:
    """Wait until another one has its answer; one worker at a time, so that others can ask.

    Once one was refused, a duty has met, and its runs are as short as ever.
    """
    if not LINGER_S or _broker().hexists(REFUSED, duty):
        return
    if not _broker().set(LINGERS, duty, nx=True):
        return
    deadline = time.monotonic() + LINGER_S
    while int(_broker().hget(ANSWERED, duty) or 0) == answered and time.monotonic() < deadline:
        time.sleep(0.005)
    _broker().delete(LINGERS)


@cache
def _broker() -> Redis:
    """One for each worker process: duties run only there."""
    return Redis.from_url(settings.broker_url.get_secret_value())


DutyRuns.run = _contested  # type: ignore[method-assign]

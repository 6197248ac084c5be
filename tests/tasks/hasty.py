"""The project's Celery application, with every periodic task due every second.

``celery -A tests.tasks.hasty``. Short runs of a duty would hardly ever overlap. So a worker that
has begun a run waits until another worker has asked for the same duty and has got its answer. It
notes the outcome in the broker, for the test.
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
"""A message that waits longer is dropped, as in the real schedule: a slow machine keeps up."""

# From the environment, in seconds: the longest lease, and how long a run waits for another worker.
LEASE_S = float(os.environ.get("HASTY_LEASE_S", LEASE.total_seconds()))
LINGER_S = float(os.environ.get("HASTY_LINGER_S", "0"))

ANSWERED = "hasty:answered"
"""Hash duty -> how often a worker asked for it and got an answer."""
REFUSED = "hasty:refused"
"""Hash duty -> how often a worker was refused, because another one ran it."""
INSIDE = "hasty:inside"
"""Hash duty -> process that runs it."""
TOGETHER = "hasty:together"
"""Set of duties that two processes ran at the same time."""

LINGERS = "hasty:lingers"
"""String: the duty whose run waits for another worker."""

for _entry in app.conf.beat_schedule.values():
    _entry["schedule"] = EVERY
    _entry["options"]["expires"] = EXPIRES_S

_run = DutyRuns.run


@contextmanager
def _contested(
    self: DutyRuns, duty: str, lease: timedelta = LEASE, *, quiet: bool = False
) -> Iterator[Run | None]:
    """``DutyRuns.run``, during which another worker asks for the same duty."""
    with _run(self, duty, min(lease, timedelta(seconds=LEASE_S)), quiet=quiet) as run:
        answered = int(_broker().hincrby(ANSWERED, duty))
        if run is None:
            _broker().hincrby(REFUSED, duty)
            yield None
            return
        if not _broker().hset(INSIDE, duty, str(os.getpid())):  # another process runs it
            _broker().sadd(TOGETHER, duty)
        try:
            _linger(duty, answered)
            yield run
        finally:
            _broker().hdel(INSIDE, duty)


def _linger(duty: str, answered: int) -> None:
    """Wait until another worker has its answer. One worker waits at a time, so that others can ask.

    After the first refusal for a duty, its runs do not wait any more.
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
    """One client for each worker process: duties run only there."""
    return Redis.from_url(settings.broker_url.get_secret_value())


DutyRuns.run = _contested  # type: ignore[method-assign]

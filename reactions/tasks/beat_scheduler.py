"""Beat's scheduler: RedBeat, which also goes on when the clock of its host is set back."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

from redbeat.schedulers import RedBeatScheduler, RedBeatSchedulerEntry

log = logging.getLogger(__name__)

AHEAD_S = 5.0
"""A duty that was last sent later than this (s) from now was sent before the clock was set back."""


class Entry(RedBeatSchedulerEntry):  # type: ignore[misc]
    """A duty in the schedule. It is due if it was last sent in the future.

    RedBeat would send it again only when the clock has caught up: hours without any duty.
    """

    @classmethod
    def from_key(cls, key: str, app: Any = None) -> Any:  # noqa: ANN401 - RedBeat has no types
        """Read an entry from the broker."""
        entry = super().from_key(key, app=app)
        latest = entry.app.now() + timedelta(seconds=AHEAD_S)
        if entry.last_run_at is not None and entry.last_run_at > latest:
            entry.last_run_at = None
        return entry


class Scheduler(RedBeatScheduler):  # type: ignore[misc]
    """Sends the duties that are due."""

    Entry = Entry

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as RedBeat has them
        self._offset = _offset()
        super().__init__(*args, **options)

    def tick(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as RedBeat has them
        """Send what is due. If the clock was set back since the last call, note what is due anew.

        The schedule is sorted by the time when each duty is due, so RedBeat finds only what its
        clock has reached.
        """
        offset = _offset()
        if offset < self._offset - AHEAD_S:
            log.warning("the clock was set back by %.0f s", self._offset - offset)
            self.setup_schedule()
        self._offset = offset
        return super().tick(*args, **options)


def _offset() -> float:
    """Seconds from the monotonic clock to the clock of the host; it falls when that is set back."""
    return time.time() - time.monotonic()

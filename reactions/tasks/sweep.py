"""The sweep: find shards whose wake-up was lost, and have them drained.

A Redis broker loses messages when a worker is killed, acks late or not; a publisher may drop them.
The outbox is the truth, and this reads it.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from cachetools import TTLCache

from reactions.core.constants import SHARDS
from reactions.core.errors import ReactionsUnavailable
from reactions.tasks.app import app, duties, outbox_state, settings
from reactions.tasks.drain import drain

GROUP = 25
"""Shards in one message: four messages at most, so that four worker processes may share them."""

INTERVAL = timedelta(seconds=settings.sweep_interval_s)

LATE = 5 * INTERVAL
"""How long a message of a sweep lives. What is overdue for longer did not get through the queue of
durability: more is waiting there than is drained in that time."""

RECORD_EVERY_S = 60.0
"""How often a worker process records its sweeps: they are to go on without PostgreSQL."""

_recorded: TTLCache[bool, bool] = TTLCache(1, RECORD_EVERY_S)
_since: Counter[str] = Counter()
"""Sweeps, and overdue shards that they found, since the last record."""

app.conf.beat_schedule["sweep"] = {
    "task": "reactions.sweep",
    "schedule": INTERVAL,
    # One that waited longer has younger ones behind it. Longer than a drain may hold a worker, or
    # there would be no sweep where all of them are busy.
    "options": {"expires": settings.drain_budget_s + 2 * INTERVAL.total_seconds()},
}


@app.task(name="reactions.sweep")
def sweep() -> None:
    """Enqueue a drain for every shard with a change older than the interval that nobody drains."""
    overdue = outbox_state().overdue(INTERVAL.total_seconds())
    late = outbox_state().overdue(LATE.total_seconds()) if overdue else []
    _send([shard for shard in overdue if shard not in late], "persistence")
    _send(late, "maintenance")
    _since.update(sweeps=1, overdue=len(overdue))
    if not _recorded:
        _recorded[True] = True
        with contextlib.suppress(ReactionsUnavailable):
            _record()


def _send(shards: Sequence[int], queue: str) -> None:
    for start in range(0, len(shards), GROUP):
        drain.apply_async(
            kwargs={"shards": shards[start : start + GROUP]},
            queue=queue,
            expires=LATE.total_seconds(),
        )


def _record() -> None:
    with duties().run("sweep", quiet=True) as run:
        if run is not None:
            run.looked_at = SHARDS * _since["sweeps"]
            run.repaired = _since["overdue"]
            run.found.update({"overdue": run.repaired} if run.repaired else {})
            _since.clear()

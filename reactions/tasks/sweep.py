"""The sweep: find shards whose wake-up was lost, and have them drained.

A Redis broker loses messages when a worker is killed, acks late or not; a publisher may drop them.
The outbox is the truth, and this reads it.
"""

from __future__ import annotations

from datetime import timedelta

from reactions.tasks.app import app, outbox, settings
from reactions.tasks.drain import drain

GROUP = 25
"""Shards in one message: four messages at most, so that four worker processes may share them."""

INTERVAL = timedelta(seconds=settings.sweep_interval_s)

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
    overdue = outbox().overdue(INTERVAL.total_seconds())
    for start in range(0, len(overdue), GROUP):
        drain.apply_async(
            kwargs={"shards": overdue[start : start + GROUP]},
            expires=INTERVAL.total_seconds() * 5,
        )

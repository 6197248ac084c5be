"""Watches over Redis: notices that it lost data, and rebuilds."""

from __future__ import annotations

from datetime import timedelta

from reactions.tasks.app import app, recovery

INTERVAL = timedelta(seconds=5)

app.conf.beat_schedule["watch"] = {
    "task": "reactions.watch",
    "schedule": INTERVAL,
    "options": {"expires": INTERVAL.total_seconds()},
}


@app.task(name="reactions.watch")
def watch() -> None:
    """Compare the marks in both stores; recover what is lost, a while at a time."""
    recovery().watch()
    if recovery().rebuild() is not None and recovery().unfinished():
        watch.delay()

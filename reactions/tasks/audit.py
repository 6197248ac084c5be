"""The audit: the counts table against the rows, a slice at a time, all the way round and again."""

from __future__ import annotations

from datetime import timedelta

from reactions.tasks.app import app, patrol

INTERVAL = timedelta(minutes=2)

app.conf.beat_schedule["audit"] = {
    "task": "reactions.audit",
    "schedule": INTERVAL,
    "options": {"expires": INTERVAL.total_seconds()},
}


@app.task(name="reactions.audit")
def audit() -> None:
    """Go on where the last run was."""
    patrol().audit()

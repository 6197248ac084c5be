"""The task `audit`: compare the counts table with the rows, every two minutes."""

from __future__ import annotations

from datetime import timedelta

from reactions.tasks.app import app
from reactions.tasks.spaces import in_each_space

INTERVAL = timedelta(minutes=2)

app.conf.beat_schedule["audit"] = {
    "task": "reactions.audit",
    "schedule": INTERVAL,
    "options": {"expires": INTERVAL.total_seconds()},
}


@app.task(shared=False, name="reactions.audit")
def audit() -> None:
    """Continue the audit where the last run stopped."""
    in_each_space(lambda own: own.audit.run())

"""The task `refresh`: keep the newest reactors of viral posts in the cache, every minute."""

from __future__ import annotations

from datetime import timedelta

from reactions.tasks.app import app
from reactions.tasks.spaces import in_each_space

INTERVAL = timedelta(minutes=1)

app.conf.beat_schedule["refresh"] = {
    "task": "reactions.refresh",
    "schedule": INTERVAL,
    "options": {"expires": INTERVAL.total_seconds()},
}


@app.task(shared=False, name="reactions.refresh")
def refresh() -> None:
    """Check the samples of viral posts, and reload those that are incomplete or out of order."""
    in_each_space(lambda own: own.refresh.run())

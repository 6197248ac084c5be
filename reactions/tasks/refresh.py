"""The refresh of samples: viral posts keep their newest reactors cached, in order."""

from __future__ import annotations

from datetime import timedelta

from reactions.tasks.app import app, patrol

INTERVAL = timedelta(minutes=1)

app.conf.beat_schedule["refresh"] = {
    "task": "reactions.refresh",
    "schedule": INTERVAL,
    "options": {"expires": INTERVAL.total_seconds()},
}


@app.task(name="reactions.refresh")
def refresh() -> None:
    """Check the samples of viral posts, and load those that are not what they should be."""
    patrol().refresh()

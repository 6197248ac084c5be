"""Virality: posts that were on their way to become viral and no longer are fall back."""

from __future__ import annotations

from datetime import timedelta

from reactions.tasks.app import app
from reactions.tasks.app import virality as watcher

INTERVAL = timedelta(minutes=1)

app.conf.beat_schedule["virality"] = {
    "task": "reactions.virality",
    "schedule": INTERVAL,
    "options": {"expires": INTERVAL.total_seconds()},
}


@app.task(name="reactions.virality")
def virality() -> None:
    """Check rising posts, and let go those that are not any more."""
    watcher().watch()

"""The task `virality`: release rising posts that calmed down, every minute."""

from __future__ import annotations

from datetime import timedelta

from reactions.tasks.app import app
from reactions.tasks.spaces import in_each_space

INTERVAL = timedelta(minutes=1)

app.conf.beat_schedule["virality"] = {
    "task": "reactions.virality",
    "schedule": INTERVAL,
    "options": {"expires": INTERVAL.total_seconds()},
}


@app.task(shared=False, name="reactions.virality")
def virality() -> None:
    """Check the rising posts, and release those that will not become viral soon."""
    in_each_space(lambda own: own.virality.run())

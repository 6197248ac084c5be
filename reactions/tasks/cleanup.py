"""The task `cleanup`: delete old records and tombstones, once a day."""

from __future__ import annotations

from celery.schedules import crontab

from reactions.tasks.app import app
from reactions.tasks.spaces import in_each_space

DAILY = crontab(hour="4", minute="10")

app.conf.beat_schedule["cleanup"] = {
    "task": "reactions.cleanup",
    "schedule": DAILY,
    "options": {"expires": 3600},
}


@app.task(shared=False, name="reactions.cleanup")
def cleanup() -> None:
    """Delete what nobody needs any more."""
    in_each_space(lambda own: own.cleanup.run())

"""Housekeeping, once a day."""

from __future__ import annotations

from celery.schedules import crontab

from reactions.tasks.app import app, patrol

DAILY = crontab(hour="4", minute="10")

app.conf.beat_schedule["tidy"] = {
    "task": "reactions.tidy",
    "schedule": DAILY,
    "options": {"expires": 3600},
}


@app.task(name="reactions.tidy")
def tidy() -> None:
    """Prune what nobody needs any more."""
    patrol().tidy()

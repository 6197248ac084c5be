"""Reconciliation by tier: viral posts every minute, hot ones every five, the rest at night."""

from __future__ import annotations

from datetime import timedelta

from celery.schedules import crontab

from reactions.core.errors import InvalidArgument
from reactions.core.model import PostTier
from reactions.tasks.app import app, patrol

VIRAL_EVERY = timedelta(minutes=1)
HOT_EVERY = timedelta(minutes=5)
NIGHTLY = crontab(hour="3", minute="*/2")
"""All through one hour, a slice at a time."""

app.conf.beat_schedule |= {
    "reconcile-viral": {
        "task": "reactions.reconcile",
        "schedule": VIRAL_EVERY,
        "args": ["viral"],
        "options": {"expires": VIRAL_EVERY.total_seconds()},
    },
    "reconcile-hot": {
        "task": "reactions.reconcile",
        "schedule": HOT_EVERY,
        "args": ["hot"],
        "options": {"expires": HOT_EVERY.total_seconds()},
    },
    "reconcile-rest": {
        "task": "reactions.reconcile",
        "schedule": NIGHTLY,
        "args": ["regular"],
        "options": {"expires": 110},
    },
}


@app.task(name="reactions.reconcile")
def reconcile(tier: str) -> None:
    """Check the posts of a tier that were touched since they were last checked, and repair them."""
    tiers = {found.name.lower(): found for found in PostTier}
    if type(tier) is not str or tier not in tiers:
        raise InvalidArgument("tier", f"one of {', '.join(tiers)}", tier)
    patrol().reconcile(tiers[tier])

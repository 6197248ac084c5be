"""The task `reconcile`: viral posts every minute, hot ones every five, regular ones at night."""

from __future__ import annotations

from datetime import timedelta

from celery.schedules import crontab

from reactions.core.errors import InvalidArgument
from reactions.core.model import PostTier
from reactions.tasks.app import app
from reactions.tasks.spaces import in_each_space

VIRAL_EVERY = timedelta(minutes=1)
HOT_EVERY = timedelta(minutes=5)
NIGHTLY = crontab(hour="3", minute="*/2")
"""Every two minutes from 03:00 to 03:58 UTC; each run continues where the last one stopped."""

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


@app.task(shared=False, name="reactions.reconcile")
def reconcile(tier: str) -> None:
    """Compare the posts of a tier that changed since their last check, and repair them.

    Raises:
        InvalidArgument: ``tier`` is not the name of a tier.
    """
    tiers = {found.name.lower(): found for found in PostTier}
    if type(tier) is not str or tier not in tiers:
        raise InvalidArgument("tier", f"one of {', '.join(tiers)}", tier)
    in_each_space(lambda own: own.reconcile.run(tiers[tier]))

"""The project's Celery application with traps, and with duties that run every few seconds.

``celery -A chaos.app``: a run of minutes sees what Beat otherwise does in hours.
"""

from __future__ import annotations

import os
from datetime import timedelta

from chaos import small, traps

if traps.FOLDER in os.environ:
    traps.install()
small.apply()

from reactions.tasks import app  # noqa: E402 - the traps must be in place first

__all__ = ["app"]

EVERY_S = {
    "reconcile-viral": 3,
    "reconcile-hot": 5,
    "reconcile-rest": 7,
    "refresh": 5,
    "virality": 5,
    "audit": 5,
    "cleanup": 30,
}
"""Duty -> its interval here, in s. The other duties run every few seconds anyway."""

EXPIRES_S = 10.0

for _name, _seconds in EVERY_S.items():
    app.conf.beat_schedule[_name]["schedule"] = timedelta(seconds=_seconds)
    app.conf.beat_schedule[_name]["options"]["expires"] = EXPIRES_S

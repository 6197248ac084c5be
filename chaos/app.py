"""The project's Celery application with traps in it, and with its duties due every few seconds.

``celery -A chaos.app``: what Beat does in hours, it does in a run of minutes.
"""

from __future__ import annotations

import os
from datetime import timedelta

from chaos import small, traps

if traps.FOLDER in os.environ:
    traps.install()
small.apply()

from reactions.tasks import app  # noqa: E402 - after the places are laid

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
"""The others are due every few seconds as they are."""

EXPIRES_S = 10.0

for _name, _seconds in EVERY_S.items():
    app.conf.beat_schedule[_name]["schedule"] = timedelta(seconds=_seconds)
    app.conf.beat_schedule[_name]["options"]["expires"] = EXPIRES_S

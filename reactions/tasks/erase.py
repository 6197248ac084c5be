"""The erase task: take deleted posts and forgotten users out of PostgreSQL, a while at a time."""

from __future__ import annotations

from datetime import timedelta

from reactions.tasks.app import app, eraser
from reactions.tasks.drain import drain

INTERVAL = timedelta(seconds=2)

app.conf.beat_schedule["erase"] = {
    "task": "reactions.erase",
    "schedule": INTERVAL,
    "options": {"expires": INTERVAL.total_seconds()},
}


@app.task(name="reactions.erase")
def erase() -> None:
    """Go on with what is asked for. Harmless twice: what is to be erased stands in the outbox."""
    done = eraser().erase()
    if done.wake:
        drain.delay(shards=sorted(done.wake))

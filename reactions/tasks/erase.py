"""The erase task: take deleted posts and forgotten users out of PostgreSQL, a while at a time."""

from __future__ import annotations

from datetime import timedelta

from reactions.tasks.app import app, duties, eraser
from reactions.tasks.drain import drain

INTERVAL = timedelta(seconds=2)

LEASE = timedelta(seconds=15)
"""How long it is left to a worker that says nothing more."""

app.conf.beat_schedule["erase"] = {
    "task": "reactions.erase",
    "schedule": INTERVAL,
    "options": {"expires": INTERVAL.total_seconds()},
}


@app.task(name="reactions.erase")
def erase() -> None:
    """Go on with what is asked for. Harmless twice: what is to be erased stands in the outbox."""
    with duties().run("erase", LEASE, quiet=True) as run:
        if run is None:
            return
        done = eraser().erase()
        run.looked_at = done.rows + done.removed
        run.repaired = done.posts + done.users
        finished = {"deleted post": done.posts, "forgotten user": done.users}
        run.found.update({kind: number for kind, number in finished.items() if number})
    if done.wake:
        drain.delay(shards=sorted(done.wake))

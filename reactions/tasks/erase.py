"""The task `erase`: delete the rows of deleted posts and forgotten users, every two seconds."""

from __future__ import annotations

from datetime import timedelta

from reactions.tasks.app import Worker, app
from reactions.tasks.drain import drain
from reactions.tasks.spaces import in_each_space, space_of

INTERVAL = timedelta(seconds=2)

LEASE = timedelta(seconds=15)
"""The lease of a worker that stops reporting ends after this time."""

app.conf.beat_schedule["erase"] = {
    "task": "reactions.erase",
    "schedule": INTERVAL,
    "options": {"expires": INTERVAL.total_seconds()},
}


@app.task(shared=False, name="reactions.erase", send_events=False)  # Flower would list nothing else
def erase() -> None:
    """Continue the requested erasures. Safe to run twice: each request stays in the outbox."""
    in_each_space(_erase)


def _erase(own: Worker) -> None:
    with own.duties.run("erase", LEASE, quiet=True) as run:
        if run is None:
            return
        done = own.eraser.erase()
        run.looked_at = done.rows + done.removed
        run.repaired = done.posts + done.users
        finished = {
            "deleted post": done.posts,
            "forgotten user": done.users,
            "postponed": done.postponed,
        }
        run.found.update({kind: number for kind, number in finished.items() if number})
    if done.wake:
        drain.delay(shards=sorted(done.wake), **space_of(own))

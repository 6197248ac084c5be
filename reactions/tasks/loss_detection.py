"""The task `loss_detection`: notice within seconds that a store lost data, and reload Redis."""

from __future__ import annotations

from datetime import timedelta

from reactions.tasks.app import app, worker

INTERVAL = timedelta(seconds=5)

app.conf.beat_schedule["loss_detection"] = {
    "task": "reactions.loss_detection",
    "schedule": INTERVAL,
    "options": {"expires": INTERVAL.total_seconds()},
}


@app.task(name="reactions.loss_detection", send_events=False)  # as for the sweep
def loss_detection() -> None:
    """Compare the epochs of both stores. Then load the working set for a few seconds, if needed."""
    worker().loss_detection.run()
    if worker().rebuild.run() is not None and worker().rebuild.unfinished():
        loss_detection.delay()

"""The task `loss_detection`: notice within seconds that a store lost data, and reload Redis."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from celery import signals

from reactions.tasks.app import Worker, app
from reactions.tasks.spaces import in_each_space

log = logging.getLogger(__name__)

INTERVAL = timedelta(seconds=5)

app.conf.beat_schedule["loss_detection"] = {
    "task": "reactions.loss_detection",
    "schedule": INTERVAL,
    "options": {"expires": INTERVAL.total_seconds()},
}


@app.task(shared=False, name="reactions.loss_detection", send_events=False)  # as for the sweep
def loss_detection() -> None:
    """Compare the epochs of both stores. Then load the working set for a few seconds, if needed."""
    unfinished: list[Worker] = []

    def detect(own: Worker) -> None:
        own.loss_detection.run()
        if own.rebuild.run() is not None and own.rebuild.unfinished():
            unfinished.append(own)

    try:
        in_each_space(detect)
    finally:
        if unfinished:
            loss_detection.delay()


@signals.worker_ready.connect
def _begin(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """Compare the epochs when a worker starts, and not only after the first interval of beat.

    So the first epochs are older than whatever this worker makes durable, and a restore that
    somebody made while everything was stopped is noticed at once.
    """
    try:
        loss_detection.apply_async(expires=INTERVAL.total_seconds(), retry=False)
    except Exception as error:  # noqa: BLE001 - beat requests the duty again
        log.warning("the duty loss_detection is not requested: %s", error)

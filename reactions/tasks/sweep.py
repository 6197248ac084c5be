"""The task `sweep`: find shards whose wake-up was lost, and enqueue a drain for them.

A Redis broker loses messages when a worker is killed, even with late acks, and a publisher may drop
messages. The outbox has the truth, and the sweep reads it.
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta

from cachetools import TTLCache

from reactions.core.constants import SHARDS
from reactions.core.errors import ReactionsUnavailable
from reactions.core.space_settings import MAX_SPACES
from reactions.tasks.app import Worker, app, settings
from reactions.tasks.drain import drain
from reactions.tasks.spaces import in_each_space, space_of

GROUP = 25
"""Shards in one message: four messages at most, so that four worker processes may share them."""

INTERVAL = timedelta(seconds=settings.sweep_interval_s)

LATE = 5 * INTERVAL
"""How long a message of a sweep lives. A shard that is overdue for longer did not get through the
queue `persistence`: more work waits there than the workers drain in this time."""

RECORD_EVERY_S = 60.0
"""How often a worker process records its sweeps. A sweep itself works without PostgreSQL."""

_recorded: TTLCache[str, bool] = TTLCache(MAX_SPACES, RECORD_EVERY_S)
_since: defaultdict[str, Counter[str]] = defaultdict(Counter)
"""Space -> sweeps since the last record, and the overdue shards that they found."""

app.conf.beat_schedule["sweep"] = {
    "task": "reactions.sweep",
    "schedule": INTERVAL,
    # A sweep that waited longer has newer ones behind it. The limit is above the time that a drain
    # keeps a worker busy: otherwise sweeps would expire while all workers drain.
    "options": {"expires": settings.drain_budget_s + 2 * INTERVAL.total_seconds()},
}


@app.task(shared=False, name="reactions.sweep", send_events=False)  # Flower would list nothing else
def sweep() -> None:
    """Enqueue a drain for each shard with a change older than the interval, unless one runs."""
    in_each_space(_sweep)


def _sweep(own: Worker) -> None:
    overdue = own.outbox_state.overdue(INTERVAL.total_seconds())
    late = own.outbox_state.overdue(LATE.total_seconds()) if overdue else []
    _send(own, [shard for shard in overdue if shard not in late], "persistence")
    _send(own, late, "maintenance")
    space = own.settings.space
    _since[space].update(sweeps=1, overdue=len(overdue))
    if space not in _recorded:
        _recorded[space] = True
        with contextlib.suppress(ReactionsUnavailable):
            _record(own, _since[space])


def _send(own: Worker, shards: Sequence[int], queue: str) -> None:
    for start in range(0, len(shards), GROUP):
        drain.apply_async(
            kwargs={"shards": shards[start : start + GROUP], "force": True, **space_of(own)},
            queue=queue,
            expires=LATE.total_seconds(),
        )


def _record(own: Worker, since: Counter[str]) -> None:
    with own.duties.run("sweep", quiet=True) as run:
        if run is not None:
            run.looked_at = SHARDS * since["sweeps"]
            run.repaired = since["overdue"]
            run.found.update({"overdue": run.repaired} if run.repaired else {})
            since.clear()

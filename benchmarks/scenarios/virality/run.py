"""Replays a trace with one threshold, and gathers the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.scenarios.virality.judge import judge
from benchmarks.scenarios.virality.replay import Replay
from benchmarks.scenarios.virality.trace import growth, steps, timed
from benchmarks.support import servers
from benchmarks.support.output import Show
from reactions.demo.trace import Trace
from reactions.postgres.database import Database
from reactions.postgres.migrate import migrate


def run(
    trace: Path, threshold: int, step: int, item: int | None, horizon: float, show: Show
) -> dict[str, Any]:
    """Replay with one threshold; returns the figures of the JSON."""
    types = Trace(trace).types()
    events = timed(Trace(trace))
    truth = growth(events)
    phase = f"replaying, threshold {threshold:,}"
    with (
        servers.temporary_folder("virality") as where,
        servers.running_redis(where, "valkey") as valkey,
        servers.running_postgres(where) as postgres,
    ):
        settings = servers.settings_with(
            redis_url=valkey.url,
            database_url=postgres.url,
            reaction_types=types,
            viral_threshold=threshold,
            viral_horizon_s=horizon,
            batch_rows=50_000,  # one claim takes a whole step
            redis_timeout_s=60,
            database_timeout_s=60,
        )
        migrate(settings)
        database = Database(settings, name="reactions-bench")
        replay = Replay(settings, database, step)
        done = 0
        for end, batch in steps(events, step):
            replay.play(end, batch)
            done += len(batch)
            show(phase, done, len(events))
        database.close()
    chosen = item or max(truth.reached, key=lambda post: len(truth.reached[post]))
    return {
        "threshold": threshold,
        "watched_from": max(1, int(settings.viral_threshold * settings.viral_watch)),
        "window_s": settings.viral_window_s,
        "horizon_s": settings.viral_horizon_s,
        "events": len(events),
        "drains": replay.noted.drains,
        "rows": replay.noted.rows,
        **judge(truth, replay.noted, threshold, chosen),
    }

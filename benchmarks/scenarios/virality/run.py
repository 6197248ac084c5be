"""Replays a trace with one threshold, and gathers the figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.scenarios.virality.judge import judge
from benchmarks.scenarios.virality.replay import Noted, Replay
from benchmarks.scenarios.virality.trace import growth, steps, timed
from benchmarks.support import servers
from benchmarks.support.output import Show
from reactions.core.settings import Settings
from reactions.demo.trace import Event, Trace
from reactions.postgres.database import Database
from reactions.postgres.migrate import migrate


def run(
    trace: Path, threshold: int, step: int, item: int | None, horizon: float, show: Show
) -> dict[str, Any]:
    """Replay with one threshold; returns the figures of the JSON."""
    events = timed(Trace(trace))
    truth = growth(events)
    with (
        servers.temporary_folder("virality") as where,
        servers.running_redis(where, "valkey") as valkey,
        servers.running_postgres(where) as postgres,
    ):
        settings = servers.settings_with(
            redis_url=valkey.url,
            database_url=postgres.url,
            reaction_types=Trace(trace).types(),
            viral_threshold=threshold,
            viral_horizon_s=horizon,
            batch_rows=50_000,  # one claim takes a whole step
            redis_timeout_s=60,
            database_timeout_s=60,
        )
        noted = _replay(settings, events, step, show)
    chosen = item or max(truth.reached, key=lambda post: len(truth.reached[post]))
    return {
        "threshold": threshold,
        "watched_from": max(1, int(settings.viral_threshold * settings.viral_watch)),
        "window_s": settings.viral_window_s,
        "horizon_s": settings.viral_horizon_s,
        "events": len(events),
        "drains": noted.drains,
        "rows": noted.rows,
        **judge(truth, noted, threshold, chosen),
    }


def _replay(
    settings: Settings, events: Sequence[tuple[int, Event]], step: int, show: Show
) -> Noted:
    """Replay all events on fresh stores."""
    migrate(settings)
    database = Database(settings, name="reactions-bench")
    replay = Replay(settings, database, step)
    done = 0
    for end, batch in steps(events, step):
        replay.play(end, batch)
        done += len(batch)
        show(f"replaying, threshold {settings.viral_threshold:,}", done, len(events))
    database.close()
    return replay.noted

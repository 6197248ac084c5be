"""The whole measurement of the large post, on a stack of its own."""

from __future__ import annotations

import os
import time
from typing import Any

from benchmarks.scenarios.large_post.first_reads import FirstReads
from benchmarks.scenarios.large_post.quiet import POST, Quiet
from benchmarks.support import filling, output, servers
from benchmarks.support.output import Show
from reactions.demo.stack import Stack
from reactions.postgres.database import Database


def run(rows: int, workers: int, show: Show) -> dict[str, Any]:
    """Measure everything; returns the figures of the JSON. Times are in ms."""
    with (
        servers.temporary_folder("duties") as where,
        Stack(
            where, servers.settings_with(), concurrency=workers, flower=False, say=output.err.print
        ) as stack,
    ):
        stack.beat.stop()  # no duty may load or check the post
        stack.worker.stop()
        settings = stack.settings
        database = Database(settings, name="reactions-bench", timeout_s=1_200)
        shape = filling.Shape(rows, settings.viral_threshold, 0, max(1, 6 * 3_600_000_000 // rows))
        began = time.monotonic()
        filling.fill(database, {POST: rows}, shape, show)
        filled = time.monotonic() - began
        database.close()
        # With the time-outs and the planner settings of a worker.
        database = Database(settings, name="reactions-bench")
        figures = {
            "rows": rows,
            "filled_s": round(filled, 1),
            "system_load": round(os.getloadavg()[0], 1),
            **Quiet(settings, database).measure(show),
        }
        stack.supervise()
        stack.beat.stop()  # beat would notice the loss, and load the post first
        stack.worker.wait_until(lambda: bool(stack.worker_stats()))
        figures["first_read"] = FirstReads(stack).measure(show)
        database.close()
        return figures

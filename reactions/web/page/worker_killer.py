"""Kills a worker process, to show that nothing is lost."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from reactions.core.celery_app import DRAIN, make_app
from reactions.core.settings import Settings

PATIENCE_S = 3.0
"""For the answer of the worker."""


class WorkerKiller:
    """The worker of the stack whose folder this is."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._app = make_app(settings)
        self._pid_file = folder / "worker.pid"

    def kill_one(self) -> tuple[int, bool] | None:
        """kill -9 of one process of the pool, one that drains if there is one.

        Returns:
            Its pid, and whether it drained; None where no worker answers.
        """
        draining = [task["worker_pid"] for task in self._ask("active") if task["name"] == DRAIN]
        others = self._ask("stats").get("pool", {}).get("processes", [])
        for pid in [*draining, *others]:
            if self._is_ours(pid):
                with suppress(ProcessLookupError):  # it ended in between
                    os.kill(pid, signal.SIGKILL)
                    return pid, pid in draining
        return None

    def _is_ours(self, pid: object) -> bool:
        """Whether the stack's worker started it: the answer came over the broker, from anyone."""
        if type(pid) is not int:
            return False
        worker = int(self._pid_file.read_text())
        with suppress(ProcessLookupError):
            return pid != worker and os.getpgid(pid) == worker
        return False

    def _ask(self, what: str) -> Any:  # noqa: ANN401 - whatever Celery answers
        inspect = self._app.control.inspect(timeout=PATIENCE_S, limit=1)
        answers = getattr(inspect, what)() or {"": {}}
        return next(iter(answers.values()))

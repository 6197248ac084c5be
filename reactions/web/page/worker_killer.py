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
"""How long to wait for the worker's answer."""


class WorkerKiller:
    """Kills processes of the worker of one stack.

    Args:
        folder: the state folder of the stack, with the worker's process id.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._app = make_app(settings)
        self._pid_file = folder / "worker.pid"

    def kill_one(self) -> tuple[int, bool] | None:
        """Send SIGKILL to one process of the pool: one that drains, if there is one.

        Returns:
            Its process id and whether it drained, or None if no worker answers.
        """
        draining = [task["worker_pid"] for task in self._inspect("active") if task["name"] == DRAIN]
        others = self._inspect("stats").get("pool", {}).get("processes", [])
        for pid in [*draining, *others]:
            if self._is_ours(pid):
                with suppress(ProcessLookupError):  # it ended in between
                    os.kill(pid, signal.SIGKILL)
                    return pid, pid in draining
        return None

    def _is_ours(self, pid: object) -> bool:
        """Whether the stack's worker started the process. Anyone may answer over the broker."""
        if type(pid) is not int:
            return False
        worker = int(self._pid_file.read_text())
        with suppress(ProcessLookupError):
            return pid != worker and os.getpgid(pid) == worker
        return False

    def _inspect(self, method: str) -> Any:  # noqa: ANN401 - any answer of Celery
        inspect = self._app.control.inspect(timeout=PATIENCE_S, limit=1)
        answers = getattr(inspect, method)() or {"": {}}
        return next(iter(answers.values()))

"""The processes of the system: each starts again when it dies."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from reactions.core.errors import StackError
from reactions.demo.embedded import Valkey
from reactions.demo.process import Process
from reactions.redis.server_options import VALKEY_OPTIONS

ROOT = Path(__file__).parents[1]

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
"""Debian's libfaketime, which can set the clock of Redis; None if it is not installed."""


class Node:
    """A process that is started again when it dies, unless ``down`` is set."""

    def __init__(self, process: Process, command: list[str], env: Mapping[str, str]) -> None:
        self.process = process
        self.down = False
        self._command = command
        self._env = {**os.environ, "PYTHONPATH": str(ROOT), **env}

    def start(self) -> None:
        self.process.launch(self._command, self._env)

    def kill(self) -> None:
        """Kill it and its children with SIGKILL."""
        self.process.kill()

    def freeze(self) -> None:
        """Stop it and its children with SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it continue."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, StackError):
            os.killpg(self.process.pid, number)

    def supervise(self) -> bool:
        """Start it again if it died; returns whether it had."""
        if self.down or self.process.alive():
            return False
        self.start()
        return True


class WriterNode(Node):
    """A writer. Each start makes a new writer, with its own users and its own history."""

    def __init__(self, folder: Path, name: str, seed: int, env: Mapping[str, str]) -> None:
        super().__init__(Process(name, folder / f"{name}.log"), [], env)
        self._folder, self._name, self._seed = folder, name, seed
        self.histories: list[Path] = []

    def start(self) -> None:
        number = int(self._name[-1]) * 1_000 + len(self.histories)
        self.histories.append(self._folder / f"{self._name}-{len(self.histories)}.jsonl")
        self._command = [
            sys.executable,
            "-m",
            "chaos.writer",
            str(self.histories[-1]),
            str(number),
            str(self._seed),
        ]
        super().start()


class Store(Valkey):
    """The Redis that stores reactions. With libfaketime, its clock can be set."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "store", options=VALKEY_OPTIONS)
        self._clock = folder / "clock"
        self._clock.write_text("+0")

    def launch(self, command: list[str], env: Mapping[str, str] | None = None) -> None:
        env = {**os.environ, **(env or {})}
        if FAKETIME:
            env |= {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(self._clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        super().launch(command, env)

    def set_clock(self, offset_s: int) -> None:
        """Set the clock so many seconds ahead of the machine's clock, or behind it."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(f"{offset_s:+d}")
        fresh.rename(self._clock)

"""Processor time of processes, from ``/proc/PID/schedstat``: in nanoseconds, not in ticks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import psutil


def used_s(pid: int) -> float:
    """Processor time of all threads of one process until now, in s; 0 if the process ended."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, IndexError):  # the thread may have ended
            total += int(thread.read_text().split()[0])
    return total / 1e9


def used_by(pids: Iterable[int]) -> float:
    """Processor time of these processes together, in s."""
    return sum(used_s(pid) for pid in pids)


def tree_s(pid: int) -> float:
    """Processor time of a process and all below it in s, ended children included.

    The system counts ended children in ticks of 10 ms.
    """
    total = 0.0
    root = psutil.Process(pid)
    for each in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += used_s(each.pid) + times.children_user + times.children_system
    return total

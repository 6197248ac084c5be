"""The page kills only processes of its own worker."""

from __future__ import annotations

from pathlib import Path

from reactions.demo.stack import Stack
from reactions.web.page.worker_killer import WorkerKiller


def test_a_process_of_another_parent_is_left_alone(stack: Stack, tmp_path: Path) -> None:
    """The pid comes from the broker, where anyone may answer."""
    (tmp_path / "worker.pid").write_text(str(stack.beat.pid))
    assert WorkerKiller(stack.settings, tmp_path).kill_one() is None

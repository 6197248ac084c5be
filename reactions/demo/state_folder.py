"""The folder with the data and the logs of a stack; only one stack uses it at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from reactions.core.errors import StackError


class FolderLock:
    """A lock on a state folder. The kernel releases it when its process dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, and write this process's id to ``stack.pid`` in the folder.

        Raises:
            StackError: another stack uses the folder. Nothing changed.
        """
        lock = os.open(self._folder / "stack.pid", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.read(lock, 20).decode()
            os.close(lock)
            raise StackError(
                f"another stack uses {self._folder} (pid {pid}); "
                "stop it, or choose another --state-dir"
            ) from error
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        self._descriptor = lock

    def release(self) -> None:
        """Release the lock, if this object holds it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def remove(folder: Path) -> None:
    """Delete a state folder with everything in it. It may be missing."""
    shutil.rmtree(folder, ignore_errors=True)

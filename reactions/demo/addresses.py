"""The ports and the password of a stack: kept in its folder, so that the next start has the same.

A port is only known to be free until another process takes it. A server that finds its port taken
therefore starts again on another one.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reactions.demo.process import PortTaken, free_port

TRIES = 5
"""How often a server is started, each time on another port."""


def start_on_free_port(start: Callable[[], None], move: Callable[[], None]) -> None:
    """Call `start`; while it finds its port taken, call `move`, which chooses another port.

    Raises:
        StackError: from `start`. It is `PortTaken` if `TRIES` ports were taken.
    """
    for _ in range(TRIES - 1):
        try:
            return start()
        except PortTaken:
            move()
    return start()


def is_free(port: int) -> bool:
    """Whether nobody listens on a TCP port of the loopback interface now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


class Addresses:
    """What clients of a stack know of it: a file of the state folder, for its owner only."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "addresses.json"
        self._kept = self._read()

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self._file.read_text())
        except (OSError, ValueError):  # none yet, or somebody changed it
            return {}
        return kept if isinstance(kept, dict) else {}

    def port(self, name: str) -> int:
        """The port that a server had the last time if it is free now, or else a free one."""
        port = self._kept.get(name)
        return port if isinstance(port, int) and port > 0 and is_free(port) else free_port()

    @property
    def password(self) -> str:
        """Flower's password, the same as the last time."""
        kept = self._kept.setdefault("password", secrets.token_urlsafe(12))
        return str(kept)

    def keep(self, ports: Mapping[str, int]) -> list[str]:
        """Write the file. Return a line for each server whose port is another than before."""
        before = self._kept
        moved = [
            f"port {before[name]} was taken: {name} listens on {port}"
            for name, port in ports.items()
            if before.get(name, port) != port
        ]
        self._kept = {**before, "password": self.password, **ports}
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self._kept, file)
        return moved

"""Stops a server in the middle of a replay."""

from __future__ import annotations

import time
from typing import Literal

from reactions.demo.embedded import Postgres, Valkey
from reactions.demo.stack import Stack

Target = Literal["broker", "database"]


class Outage:
    """Stops one server for the middle third of a replay.

    Args:
        target: the server to stop; None stops nothing.
        events: the length of the replay.
    """

    def __init__(self, stack: Stack, target: Target | None, events: int) -> None:
        servers: dict[str | None, Valkey | Postgres] = {
            "broker": stack.broker,
            "database": stack.postgres,
        }
        self.target = target
        self._server = servers.get(target)
        self.events = events
        self._from, self._to = events // 3, events * 2 // 3
        self._began = 0.0
        self.seconds = 0.0

    def at(self, accepted: int) -> None:
        """Stop or start the server, depending on how many events were accepted so far."""
        if self._server is None or self.seconds:
            return
        if not self._began and accepted >= self._from:
            self._server.stop()
            self._began = time.monotonic()
        elif self._began and accepted >= self._to:
            self._server.start()
            self.seconds = time.monotonic() - self._began

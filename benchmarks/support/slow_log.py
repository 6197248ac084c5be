"""Slow commands, from the server's SLOWLOG and its latency monitor."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from redis import Redis

from reactions.redis import scripts

AT_ONCE = 128
"""Entries read at a time; reading them blocks the server, too."""


@dataclass(frozen=True, slots=True)
class Slow:
    """One slow command.

    Attributes:
        seen: when it was read from the log, in s of the monotonic clock.
        us: how long it blocked the server, in µs.
        name: the command, or the script that it ran.
        size: number of its arguments.
    """

    seen: float
    us: int
    name: str
    size: int


class SlowLog:
    """Gathers the slow commands; between two reads, at most the newest AT_ONCE.

    Args:
        from_us: commands that block the server for longer are logged, in µs.
    """

    def __init__(self, client: Redis, from_us: int) -> None:
        self._client: Any = client  # redis-py does not say what execute_command returns
        self._last = -1
        self.entries: list[Slow] = []
        client.config_set("slowlog-log-slower-than", from_us)
        client.config_set("slowlog-max-len", 4_096)
        client.config_set("latency-monitor-threshold", 1)
        self._client.latency_reset()
        self._client.slowlog_reset()
        self._scripts = {script.sha.encode(): script.name for script in scripts.ALL}

    def read(self) -> None:
        """Read the new entries."""
        now = time.monotonic()
        found: Any = self._client.execute_command("SLOWLOG GET", AT_ONCE)
        for entry in found:
            if entry["id"] > self._last:
                words = bytes(entry["command"]).split()
                self.entries.append(Slow(now, entry["duration"], self._name(words), len(words)))
        self._last = max([self._last, *(entry["id"] for entry in found)])

    def _name(self, words: list[bytes]) -> str:
        if not words:
            return "?"
        command = words[0].decode().upper()
        if command == "EVALSHA" and len(words) > 1:
            return f"{self._scripts.get(words[1], '?')}.lua"
        if command == "EVAL":
            return "a script, sent for the first time"
        return command

    def worst(
        self, since: float = 0.0, until: float = float("inf"), *, most: int = 8
    ) -> list[dict[str, Any]]:
        """By name, the slowest commands in this time: their number, and the longest in µs."""
        of: dict[str, list[int]] = {}
        for entry in self.entries:
            if since <= entry.seen <= until:
                of.setdefault(entry.name, []).append(entry.us)
        ordered = sorted(of.items(), key=lambda item: -max(item[1]))
        return [{"name": n, "slow": len(us), "max_us": max(us)} for n, us in ordered[:most]]

    def events(self) -> list[dict[str, Any]]:
        """Events of the latency monitor: latest and longest in ms, and seconds with an event."""
        latest: Any = self._client.execute_command("LATENCY LATEST")
        return [
            {
                "event": name.decode(),
                "latest_ms": now,
                "max_ms": longest,
                "seconds_with_one": len(self._client.execute_command("LATENCY HISTORY", name)),
            }
            for name, _, now, longest, *_ in latest
        ]

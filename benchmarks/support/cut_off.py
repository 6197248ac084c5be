"""A Redis Cluster whose first primary can be cut off from the other nodes, and not from clients.

The primary runs in a network namespace of its own, with one cable to the nodes and one to the
clients. It needs Linux, root, and the command ``ip``.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from benchmarks.support.cluster import Cluster
from benchmarks.support.waiting import wait_until
from reactions.core.errors import StackError
from reactions.demo.embedded import Valkey

_NODES, _CLIENTS = "10.77.0", "10.78.0"
"""The networks of the two cables; .1 is this machine, and .2 the primary that can be cut off."""

START_S = 60.0


class Cables:
    """The namespace and its two cables."""

    def __init__(self) -> None:
        self.name = f"cut{secrets.token_hex(3)}"
        self._ends = {net: f"{self.name}{letter}" for net, letter in self._letters.items()}

    _letters: Mapping[str, str] = {_NODES: "n", _CLIENTS: "c"}

    def lay(self) -> None:
        """Make them."""
        self._ip("netns", "add", self.name)
        for net, end in self._ends.items():
            self._ip("link", "add", end, "type", "veth", "peer", "name", f"{end}2")
            self._ip("link", "set", f"{end}2", "netns", self.name)
            self._ip("addr", "add", f"{net}.1/24", "dev", end)
            self._ip("link", "set", end, "up")
            self._ip("-n", self.name, "addr", "add", f"{net}.2/24", "dev", f"{end}2")
            self._ip("-n", self.name, "link", "set", f"{end}2", "up")
        self._ip("-n", self.name, "link", "set", "lo", "up")

    def cut(self, away: bool) -> None:
        """Cut the cable to the nodes, or mend it."""
        end = f"{self._ends[_NODES]}2"
        self._ip("-n", self.name, "link", "set", end, "down" if away else "up")

    def remove(self) -> None:
        """Remove them."""
        for end in self._ends.values():
            with suppress(subprocess.CalledProcessError):
                self._ip("link", "del", end)
        with suppress(subprocess.CalledProcessError):
            self._ip("netns", "del", self.name)

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(  # noqa: S603 - words of this module
            ["ip", *words],  # noqa: S607 - as root, from the path of root
            check=True,
            capture_output=True,
        )


class Member(Valkey):
    """A node that its clients and the other nodes reach at different addresses."""

    def __init__(
        self, folder: Path, name: str, options: Mapping[str, str], inside: str | None
    ) -> None:
        """
        Args:
            inside: the namespace in which it runs; None for the one of this process.
        """
        last = 1 if inside is None else 2
        self.host = "127.0.0.1" if inside is None else f"{_CLIENTS}.{last}"
        self.peer_host = f"{_NODES}.{last}"
        self._inside = inside
        super().__init__(folder, name, options=options)

    def addresses(self) -> dict[str, str]:
        """The options that say where it is."""
        found = {"bind": "0.0.0.0", "protected-mode": "no", "cluster-announce-ip": self.peer_host}  # noqa: S104 - for a minute
        if self._inside is not None:
            found["cluster-announce-client-ipv4"] = self.host
        return found

    def launch(self, command: list[str], env: Mapping[str, str] | None = None) -> None:
        """Start it in its namespace."""
        before = [] if self._inside is None else ["ip", "netns", "exec", self._inside]
        super().launch([*before, *command], env)

    def wait_ready(self) -> None:
        """Wait until it answers."""
        wait_until(self._answers, START_S, f"{self.name} answers: {self.log}")

    def _answers(self) -> bool:
        self.check()
        with suppress(RedisError), Redis(host=self.host, port=self.port, socket_timeout=1) as node:
            return bool(node.ping())
        return False


class CutCluster(Cluster):
    """Three primaries with a replica each; ``cables`` lead to the first primary."""

    def __init__(self, folder: Path, cables: Cables) -> None:
        self.cables = cables
        super().__init__(folder, 3, 1)

    def make(self, folder: Path, name: str, options: dict[str, str]) -> Valkey:
        """Make a node; the first one of all is the one that can be cut off."""
        inside = None if self._options.keys() - {name} else self.cables.name
        node = Member(folder, name, options, inside)
        options.update(node.addresses())
        return node


@contextmanager
def running_cut_cluster(folder: Path) -> Iterator[CutCluster]:
    """Run such a cluster.

    Raises:
        StackError: this machine cannot make a network namespace.
    """
    if shutil.which("ip") is None or os.geteuid() != 0:
        raise StackError("a network namespace needs Linux, root and the command ip (iproute2)")
    cables = Cables()
    try:
        cables.lay()
        cluster = CutCluster(folder, cables)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    finally:
        cables.remove()

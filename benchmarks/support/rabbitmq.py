"""Runs RabbitMQ as its package installs it: one node, without plugins unless they are named."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import amqp

from benchmarks.support.waiting import wait_until
from reactions.core.errors import StackError
from reactions.demo.process import Process, free_port, stop_together

FOLDER = Path("/usr/lib/rabbitmq/bin")
# It schedules on one core and does not spin there while it has nothing to do.
ERLANG = "+S 1:1 +A 8 +sbwt none +sbwtdcpu none +sbwtdio none"

START_S = 120.0
"""How long it may take to start, in s, on a busy machine."""


class RabbitMq(Process):
    """A node and its port mapper. A restart keeps its port and its queues."""

    def __init__(self, folder: Path, home: Path | None = None, mapper_port: int = 0) -> None:
        """
        Args:
            home: where the cookie is; nodes of one cluster share it.
            mapper_port: of a port mapper that somebody else runs; 0 for one of its own.
        """
        super().__init__("rabbitmq", folder / "rabbitmq.log")
        self._folder, self._home = folder, home or folder
        self._mapper = None if mapper_port else Process("epmd", folder / "epmd.log")
        self._mapper_port = mapper_port or free_port()
        self.node_name = f"test{secrets.token_hex(4)}@localhost"
        self.peers: tuple[str, ...] = ()
        self.port = free_port()

    @property
    def url(self) -> str:
        """The URL of the virtual host ``/``."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start the node and wait until it answers.

        Raises:
            StackError: it is not installed, or it ended.
        """
        self.begin()
        self.wait_ready()

    def begin(self) -> None:
        """Start the node."""
        env = self._environment()
        program = FOLDER / "rabbitmq-server"
        if not program.exists():
            raise StackError("RabbitMQ is not installed: apt-get install rabbitmq-server")
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._mapper is not None and not self._mapper.alive():
            launch_mapper(self._mapper, self._mapper_port, env)
        (self._folder / "rabbitmq.conf").write_text(self._configuration())
        self.launch([str(program)], env)

    def wait_ready(self) -> None:
        """Wait until the node answers."""
        wait_until(self._answers, START_S, f"RabbitMQ answers: {self.log}")

    def _configuration(self) -> str:
        if not self.peers:
            return ""
        names = enumerate(self.peers, start=1)
        formation = "cluster_formation"
        return f"{formation}.peer_discovery_backend = classic_config\n" + "".join(
            f"{formation}.classic_config.nodes.{number} = {name}\n" for number, name in names
        )

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the node, which keeps its connections, and let it go on at the end."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the node and to its parent, which is a shell."""
        if self.alive():
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """Kill the node and the port mapper."""
        super().kill()
        if self._mapper is not None:
            self._mapper.kill()

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        nothing = folder / "none"
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._home),  # the cookie goes there
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.node_name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(nothing),
            "RABBITMQ_CONF_ENV_FILE": str(nothing),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "none.config"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG,
        }

    def _answers(self) -> bool:
        self.check()
        with suppress(OSError, amqp.AMQPError), amqp.Connection(f"127.0.0.1:{self.port}"):
            return True
        return False


class RabbitMqCluster:
    """Three nodes, which keep a quorum queue together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mapper = Process("epmd", folder / "epmd.log")
        self._mapper_port = free_port()
        self.nodes = [
            RabbitMq(folder / f"node{number}", folder, self._mapper_port) for number in range(3)
        ]
        for node in self.nodes:
            node.peers = tuple(each.node_name for each in self.nodes)
        self.port = self.nodes[0].port

    @property
    def url(self) -> str:
        """The URLs of all nodes."""
        return ";".join(node.url for node in self.nodes)

    def start(self) -> None:
        """Start what does not run, and wait until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._mapper.alive():
            env = {"PATH": os.environ["PATH"], "HOME": str(self._folder)}
            launch_mapper(self._mapper, self._mapper_port, env)
        fresh = not (self._folder / "node0").exists()
        missing = [node for node in self.nodes if not node.alive()]
        for node in missing:
            node.begin()
            if fresh:  # the first one forms the cluster, and the others join it
                node.wait_ready()
        for node in missing:
            node.wait_ready()

    def stop(self) -> None:
        """Stop all nodes in order."""
        stop_together(self.nodes, 30.0)

    def kill(self) -> None:
        """Kill everything."""
        for process in (*self.nodes, self._mapper):
            process.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all nodes."""
        for node in self.nodes:
            node.signal(number)


def launch_mapper(mapper: Process, port: int, env: dict[str, str]) -> None:
    """Start Erlang's port mapper.

    Raises:
        StackError: it is not installed.
    """
    program = shutil.which("epmd")
    if program is None:
        raise StackError("Erlang is not installed: apt-get install rabbitmq-server")
    mapper.launch([program, "-port", str(port)], {**env, "ERL_EPMD_ADDRESS": "127.0.0.1"})

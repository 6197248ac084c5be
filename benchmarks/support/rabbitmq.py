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
from reactions.demo.process import Process, free_port

FOLDER = Path("/usr/lib/rabbitmq/bin")
# It schedules on one core and does not spin there while it has nothing to do.
ERLANG = "+S 1:1 +A 8 +sbwt none +sbwtdcpu none +sbwtdio none"

START_S = 120.0
"""How long it may take to start, in s, on a busy machine."""


class RabbitMq(Process):
    """A node and its port mapper. A restart keeps its port and its queues."""

    def __init__(self, folder: Path) -> None:
        super().__init__("rabbitmq", folder / "rabbitmq.log")
        self._folder = folder
        self._mapper = Process("epmd", folder / "epmd.log")
        self._mapper_port = free_port()
        self._name = f"test{secrets.token_hex(4)}@localhost"
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
        env = self._environment()
        mapper, program = shutil.which("epmd"), FOLDER / "rabbitmq-server"
        if mapper is None or not program.exists():
            raise StackError("RabbitMQ is not installed: apt-get install rabbitmq-server")
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._mapper.alive():
            self._mapper.launch([mapper, "-port", str(self._mapper_port)], env)
        self.launch([str(program)], env)
        wait_until(self._answers, START_S, f"RabbitMQ answers: {self.log}")

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
        self._mapper.kill()

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        nothing = folder / "none"
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),  # the cookie goes there
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(nothing),
            "RABBITMQ_CONF_ENV_FILE": str(nothing),
            "RABBITMQ_CONFIG_FILE": str(nothing),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "none.config"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG,
        }

    def _answers(self) -> bool:
        self.check()
        with suppress(OSError, amqp.AMQPError), amqp.Connection(f"127.0.0.1:{self.port}"):
            return True
        return False

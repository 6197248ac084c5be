"""Servers with other durability, and a replica behind a slow link."""

from __future__ import annotations

import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from redis import Redis

from benchmarks.support import servers
from benchmarks.support.waiting import wait_until
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.demo.process import free_port
from reactions.redis.server_options import VALKEY_OPTIONS

READY_S = 20.0


def settings_of(server: Valkey) -> Settings:
    """Settings for this server, with a time-out that a slow fsync does not reach."""
    return servers.settings_with(redis_url=server.url, redis_timeout_s=5.0)


@contextmanager
def server_with(where: Path, name: str, fsync: str = "everysec") -> Iterator[Valkey]:
    """Run a Valkey with this ``appendfsync``."""
    options = {**VALKEY_OPTIONS, "appendfsync": fsync, "repl-diskless-sync-delay": "0"}
    server = Valkey(where, name, options=options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _carry(source: socket.socket, target: socket.socket, delay_s: float) -> None:
    """Forward bytes from one end to the other, with a delay."""
    late: SimpleQueue[tuple[float, bytes]] = SimpleQueue()

    def deliver() -> None:
        while True:
            due, data = late.get()
            time.sleep(max(0.0, due - time.monotonic()))
            target.sendall(data)

    threading.Thread(target=deliver, daemon=True).start()
    while data := source.recv(65_536):
        late.put((time.monotonic() + delay_s, data))


def _link(port: int, target: int, delay_s: float) -> None:
    """Run the link: forward each connection to the target. Runs in a process of its own."""
    with socket.create_server(("127.0.0.1", port)) as door:
        while True:
            near, _ = door.accept()
            far = socket.create_connection(("127.0.0.1", target))
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for ends in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(*ends, delay_s), daemon=True).start()


@contextmanager
def followed(where: Path, primary: Valkey, delay_s: float) -> Iterator[tuple[Valkey, Any]]:
    """Run a replica of the primary; yields it, in step, and the process of its link."""
    port = free_port()
    link = multiprocessing.get_context("spawn").Process(
        target=_link, args=(port, primary.port, delay_s), daemon=True
    )
    link.start()
    with server_with(where, f"{primary.name}-replica") as replica:
        try:
            with Redis(port=replica.port) as client:
                client.replicaof("127.0.0.1", str(port))
                wait_until(lambda: _in_step(client), READY_S, "the replica is in step")
            yield replica, link
        finally:
            link.kill()


def _in_step(client: Redis) -> bool:
    info: Any = client.info("replication")
    return bool(info.get("master_link_status") == "up")

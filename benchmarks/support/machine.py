"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.support import common
from benchmarks.support.arena import Arena

_PACKAGES = ("celery", "hiredis", "kombu", "psycopg2-binary", "redis", "sqlalchemy")
_SHOWN = ("server_version", "shared_buffers", "synchronous_commit", "fsync", "max_wal_size")


def describe(arena: Arena) -> dict[str, Any]:
    """Processor, versions, and what PostgreSQL is set to."""
    return {
        **common.machine(),
        "model": _model(),
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 1),
        "redis": common.version_of(arena.redis),
        "packages": {name: version(name) for name in _PACKAGES},
        "postgresql": {name: arena.execute(f"SHOW {name}")[0][0] for name in _SHOWN},
    }


def _model() -> str:
    """The processor, as Linux names it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())

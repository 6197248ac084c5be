"""A process that only writes imports no SQL, and nothing of the command line or the web service."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from redis import Redis

from reactions.core.settings import Settings
from tests.support.engine import DEAD_BROKER
from tests.support.types import write_default_types
from tests.support.waiting import patience

PROGRAM = """
import json, sys

def others():
    names = {name.partition(".")[0] for name in sys.modules}
    names -= set(sys.stdlib_module_names) | set(before)
    return [name for name in names if not name.startswith("_")]

before = [name.partition(".")[0] for name in sys.modules]
import reactions
imported = others()
reactions.react(1, 1042, "like")
wrote = others()
import reactions.cli.main
print(json.dumps([imported, wrote, others()]))
"""

WRITES = {
    "annotated_types", "dotenv", "hiredis", "prometheus_client", "pydantic", "pydantic_core",
    "pydantic_settings", "reactions", "redis", "typing_extensions", "typing_inspection",
    "cryptography", "opentelemetry",  # redis-py looks whether they are installed
    "psutil",  # OpenTelemetry's SDK does, too
}  # fmt: skip
"""The packages that a process loads before its first reaction. Each costs every process."""

STORES = {"sqlalchemy", "psycopg2", "alembic", "fastapi", "starlette"}
"""Packages that neither a reaction loads, nor the command line before it knows the command. The
relay loads Celery, in a thread of its own."""


def test_a_process_that_writes_loads_only_what_it_needs(redis_url: str) -> None:
    settings = Settings(redis_url=redis_url, broker_url=DEAD_BROKER, redis_timeout_s=patience(0.5))
    with Redis.from_url(redis_url) as client:
        write_default_types(client)
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **settings.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    imported, wrote, commands = map(set, json.loads(ran.stdout))
    assert imported <= WRITES
    assert wrote & {*STORES, "click", "rich"} == set()
    assert commands & STORES == set()

"""Ctrl-C while a command waits for PostgreSQL, or works: it says so at once, and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from reactions.demo.synthetic_trace import synthesize
from tests.cli.conftest import POST
from tests.support.engine import Engine
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.slow

WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@contextmanager
def locked(engine: Engine) -> Iterator[None]:
    """Hold a lock that every command of ``COMMANDS`` waits for."""
    with engine.database.engine.begin() as connection:
        for table in ("posts", "reactions", "duties", "alembic_version"):
            connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        yield


def started(engine: Engine, *arguments: str) -> subprocess.Popen[str]:
    """A command whose statements may take a minute."""
    settings = engine.settings.model_copy(update={"database_timeout_s": 60.0})
    return subprocess.Popen(
        [sys.executable, "-m", "reactions", *arguments],
        env={**os.environ, **settings.environment()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def is_waiting(engine: Engine) -> bool:
    with engine.database.engine.connect() as connection:
        return bool(connection.scalar(text(WAITS)))


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify",),
        ("rebuild",),
        ("inspect", str(POST)),
        ("duties",),
        ("migrate",),
        ("doctor",),
        ("backfill", "--before", "2026-01-31T12:00:00Z"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_interrupt_ends_a_statement(filled: Engine, arguments: tuple[str, ...]) -> None:
    with locked(filled):
        command = started(filled, *arguments)
        assert command.stdin is not None
        command.stdin.write("post_id,user_id,type,at_us\n7,1,like,1700000000000000\n")
        command.stdin.close()
        command.stdin = None
        wait_until(lambda: is_waiting(filled), what="the command waits for the lock")
        command.send_signal(signal.SIGINT)
        _, said = command.communicate(timeout=patience(5))
    assert "stopping: waiting for PostgreSQL to end a statement; at most 4 s" in said
    assert "Traceback" not in said
    assert command.returncode == 130  # not 1, which means that there is a difference


def test_an_interrupt_ends_a_replay(engine: Engine, tmp_path: Path) -> None:
    """Its writers, too; each has a share of the trace."""
    trace = tmp_path / "trace.csv"
    synthesize(trace, 200_000, ["like", "love"])
    command = started(engine, "replay", str(trace), "--writers=2")
    wait_until(lambda: engine.outbox_state.pending() > 0, 60, what="the writers are at work")
    writers = psutil.Process(command.pid).children()
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=patience(5))
    assert "stopping: waiting for" in said
    assert "Traceback" not in said
    assert command.returncode == 130
    assert not psutil.wait_procs(writers, timeout=patience(5))[1]

"""Runs the command line in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import httpx
import psutil
from click.testing import CliRunner

from reactions.cli.main import main
from tests.support import http
from tests.support.waiting import patience


def reactions(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "reactions", *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=patience(240),
        check=False,
    )


def in_process(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which takes a tenth of the time: all is imported already.

    For tests of what a command prints and how it exits, not of processes, signals or terminals.
    """
    ran = CliRunner().invoke(main, arguments, env=env, prog_name="reactions")
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return subprocess.CompletedProcess(arguments, ran.exit_code, ran.stdout, ran.stderr)


def last_line(result: subprocess.CompletedProcess[str]) -> Any:
    """The JSON object that a command with ``--json`` printed."""
    assert result.stdout, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def processes_of(folder: str) -> list[psutil.Process]:
    """The processes that name a folder on their command line."""
    return [p for p in psutil.process_iter(["cmdline"]) if folder in str(p.info["cmdline"])]


def answers(address: str) -> bool:
    """Whether an HTTP server answers with success."""
    try:
        return http.get(address).is_success
    except httpx.TransportError:
        return False

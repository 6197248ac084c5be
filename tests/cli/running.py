"""Runs the command line in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import httpx
import psutil

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
        return httpx.get(address).is_success
    except httpx.TransportError:
        return False

"""The demo, run as a command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reactions.demo.synthetic_trace import synthesize
from reactions.web.page.ids import GUESTS
from tests.support.waiting import wait_until
from tests.web.serving import user

pytestmark = pytest.mark.slow

FATOU = GUESTS + 6


def test_a_demo_serves_its_page_and_accepts_visitors(tmp_path: Path) -> None:
    """The demo verifies the trace; reactions of visitors are not mismatches."""
    trace = tmp_path / "trace.csv"
    synthesize(trace, 12_000, ["like", "love"])
    command = [sys.executable, "-m", "reactions", "demo", "--trace", str(trace), "--writers", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stderr is not None
        said = next(line for line in demo.stderr if "watch it here" in line)
        with user(said.split()[-1], FATOU) as fatou:
            fatou.put("/v1/posts/1/reaction", json={"reaction": "love"}).raise_for_status()
            wait_until(
                lambda: (fatou.get("/room").json()["figures"]["reactions_per_s"] or 0) > 0,
                what="the page shows the writers",
            )
        rest = demo.stderr.read()
    assert demo.returncode == 0, rest

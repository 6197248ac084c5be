"""The demo, run as a command: one run serves all tests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest

from reactions.demo.synthetic_trace import synthesize
from reactions.web.page.ids import GUESTS
from tests.cli.running import processes_of
from tests.support.waiting import wait_until
from tests.web.serving import user

pytestmark = pytest.mark.slow

FATOU = GUESTS + 6

DEMO_KEYS = {
    "events",
    "accepted_per_s",
    "durable_per_s",
    "react_p50_us",
    "react_p99_us",
    "react_max_us",
    "lag_p99_ms",
    "catch_up_s",
    "tasks_enqueued",
    "posts",
    "mismatched_reactions",
    "drifted_counts_database",
    "drifted_counts_redis",
    "pending",
}


class Ran(NamedTuple):
    """A demo that has ended.

    Attributes:
        figures: what it printed with ``--json``.
        said: what it wrote to stderr.
    """

    code: int
    figures: Any
    said: str


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run a demo on a trace with two broken lines; a visitor reacts on its page meanwhile."""
    trace = tmp_path_factory.mktemp("demo") / "trace.csv"
    synthesize(trace, 12_000, ["like", "love", "RT"], seed=7)
    with trace.open("a") as file:
        file.write("1,not a user,1,like\n1,2\n")
    command = [sys.executable, "-m", "reactions", "demo", "--trace", str(trace), "--writers", "2"]
    with subprocess.Popen(
        [*command, "--warm", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stderr is not None
        before = _until_it_names_its_page(demo.stderr)
        _visit(before[-1].split()[-1])
        printed, rest = demo.communicate()
    said = "".join([*before, rest])
    assert printed, said
    return Ran(demo.returncode, json.loads(printed.splitlines()[-1]), said)


def _until_it_names_its_page(lines: IO[str]) -> list[str]:
    """Return the lines up to the one that ends with the address of the page."""
    read: list[str] = []
    for line in lines:
        read.append(line)
        if "watch it here" in line:
            return read
    raise AssertionError("".join(read))


def _visit(address: str) -> None:
    """React on the page, and wait until it shows the writers."""
    with user(address, FATOU) as fatou:
        fatou.put("/v1/posts/1/reaction", json={"reaction": "love"}).raise_for_status()
        wait_until(
            lambda: (fatou.get("/room").json()["figures"]["reactions_per_s"] or 0) > 0,
            what="the page shows the writers",
        )


def test_a_demo_verifies_and_leaves_nothing_running(ran: Ran) -> None:
    assert ran.code == 0, ran.said
    figures = ran.figures
    assert figures.keys() >= DEMO_KEYS
    assert figures["events"] == 12_000
    assert figures["loads"] > 1  # each writer warmed its posts
    assert figures["broken_lines"] == 2
    assert "line 12002" in ran.said
    for drift in ("mismatched_reactions", "drifted_counts_database", "drifted_counts_redis"):
        assert figures[drift] == 0
    assert figures["outage_s"] == 0
    (folder,) = re.findall(r"data and logs in (\S+)", ran.said)
    assert not Path(folder).exists()
    assert not processes_of(folder)


def test_a_demo_serves_its_page_and_accepts_visitors(ran: Ran) -> None:
    """The demo verifies the trace; reactions of visitors are not mismatches."""
    assert ran.figures["mismatched_reactions"] == 0
    assert ran.code == 0, ran.said

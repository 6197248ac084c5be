"""Everything fails for a quarter of a minute, and nothing is lost. ``make faults`` is the long run.

The profiles ``dev`` and ``ci`` run the first seed only.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from chaos.faults.kinds import KINDS
from chaos.nodes import FAKETIME, ROOT
from chaos.report import table
from tests.support.profiles import profile
from tests.support.servers import missing
from tests.support.waiting import patience

pytestmark = pytest.mark.slow
SEEDS = [1, 2] if profile() == "nightly" else [1]


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost(seed: int) -> None:
    # In a process of its own: the program shrinks samples until its process ends.
    done = subprocess.run(
        [sys.executable, "-m", "chaos", f"--seed={seed}", "--minutes=0.25", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(200),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:] + done.stdout[:3_000]
    figures = json.loads(done.stdout)
    assert figures["seed"] == seed
    assert figures["faults"] >= 3
    assert figures["reactions"] > 500
    assert figures["reads_checked"] > 100
    wrong = ("lost", "invented", "drift", "violations")
    assert {name: figures[name] for name in wrong} == dict.fromkeys(wrong, 0)
    assert figures["recovery_p99_s"] < 90
    assert sum(kind["times"] for kind in figures["kinds"].values()) == figures["faults"]
    assert set(figures["kinds"]) <= {kind.name for kind in KINDS}
    assert len(list(table([figures]))) == 3 + len(figures["kinds"])


def test_clocks_are_stepped_too() -> None:
    if not FAKETIME:
        missing("libfaketime is not installed, the clock of Redis is not stepped: apt-get install")
    assert "clock of Redis stepped" in {kind.name for kind in KINDS}

"""``reactions capacity``: a table that fits a terminal, JSON, and clear errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from reactions.cli.main import main
from reactions.ops.capacity import BUILT_IN


def test_it_prints_what_each_part_needs() -> None:
    result = CliRunner().invoke(main, ["capacity", "--reactions", "1e3", "--json"])
    assert result.exit_code == 0, result.output
    *table, last = result.output.splitlines()
    assert [line.split()[0] for line in table] == ["part", "web", "redis", "workers", "postgresql"]
    assert max(map(len, table)) <= 80
    found = json.loads(last)
    assert found["limits"] == []
    assert found["parts"]["redis"]["nodes"] >= 1


def test_it_says_where_the_design_ends() -> None:
    result = CliRunner().invoke(main, ["capacity", "--reactions", "1e6", "--feeds", "1e7"])
    assert result.exit_code == 0
    assert result.output.count("the design ends here: ") == 3


def test_it_takes_costs_of_another_machine(tmp_path: Path) -> None:
    costs = json.loads(BUILT_IN.read_text())["costs"]
    file = tmp_path / "costs.json"
    file.write_text(json.dumps({"costs": {**costs, "worker_us_per_reaction": 1e6}}))
    arguments = ["capacity", "--reactions", "1", "--costs", str(file), "--json"]
    found = json.loads(CliRunner().invoke(main, arguments).output.splitlines()[-1])
    assert found["parts"]["workers"]["cores"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reactions", "-1"], "-1.0 is not in the range"),
        (["--reactions", "1", "--busy", "2"], "2.0 is not in the range 0.01<=x<=1"),
        (["--reactions", "many"], "not a valid float"),
        ([], "Missing option '--reactions'"),
    ],
)
def test_bad_numbers_are_refused(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["capacity", *arguments])
    assert result.exit_code == 2
    assert message in result.output

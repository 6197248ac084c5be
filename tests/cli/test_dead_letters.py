"""``reactions deadletters``: a list with reasons, and a replay."""

from __future__ import annotations

from reactions.core.constants import MAX_ID
from tests.cli.conftest import POST, Run, figures
from tests.support.engine import Engine


def test_deadletters_are_listed_and_replayed(filled: Engine, run: Run) -> None:
    assert "no dead letters" in run("deadletters").stdout
    filled.dead_letters.add(str(POST), "70", "2:8", "it was full")
    filled.dead_letters.add(str(POST), "71", "broken", "not a type:version entry")
    result = run("deadletters", "--json")
    assert result.exit_code == 0
    assert "it was full" in result.stdout
    first, second = figures(result)["letters"]
    assert (first["user"], second["value"]) == ("70", "broken")
    assert isinstance(second["id"], str)
    result = run("deadletters", "--replay", "--json")
    assert result.exit_code == 1
    assert figures(result)["recorded"] == 1
    assert run("deadletters", "--replay", "--id", second["id"]).exit_code == 1
    assert filled.reactions.reaction_of(70, POST) == "love"


def test_the_table_fits_80_columns_and_no_reason_is_cut(filled: Engine, run: Run) -> None:
    reason = "Key (reaction)=(9) is not present in table [reaction_types] of the database " * 3
    filled.dead_letters.add(str(MAX_ID), str(MAX_ID), "9:1700000000000000", reason)
    shown = run("deadletters").stdout
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert shown.count(str(MAX_ID)) == 2
    assert reason.strip() in " ".join(shown.split())

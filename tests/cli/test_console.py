"""``reactions.cli.console``: an error of the library becomes one line and exit code 2."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from reactions.cli import console
from reactions.cli.console import bars, print_report, table_of
from tests.cli.running import reactions


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal of 80 columns."""
    seen = io.StringIO()
    for name in ("out", "err"):
        made = Console(file=seen, width=80, highlight=False, markup=False)
        monkeypatch.setattr(console, name, made)
    return seen


def test_a_bar_without_a_total_is_full_at_the_end_only(terminal: io.StringIO) -> None:
    with bars() as show:
        show("rebuilding", 200, None)
        show("verifying", 30, 100)
    assert "200/200" in terminal.getvalue()
    assert "30/100" in terminal.getvalue()
    assert all(len(line) <= 80 for line in terminal.getvalue().splitlines())


def test_brackets_in_what_a_server_said_are_shown(terminal: io.StringIO) -> None:
    table = table_of("reason")
    table.add_row("invalid input [/x] for [reactions]")
    console.out.print(table)
    print_report({"reason": "[bold]"}, None)
    assert "invalid input [/x] for [reactions]" in terminal.getvalue()
    assert "[bold]" in terminal.getvalue()


@pytest.mark.slow
def test_an_error_of_the_library_is_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("no,header\n")
    result = reactions("demo", "--trace", str(bad))
    assert (result.returncode, "does not begin with" in result.stderr) == (2, True)
    result = reactions("verify", REACTIONS_LEASE_S="soon")
    assert (result.returncode, "lease_s" in result.stderr) == (2, True)
    result = reactions(
        "verify",
        REACTIONS_REDIS_URL="redis://127.0.0.1:1",
        REACTIONS_DATABASE_URL="postgresql://127.0.0.1:1/x",
    )
    assert (result.returncode, "cannot serve" in result.stderr) == (2, True)
    assert "Traceback" not in result.stderr

"""The command group: its help, and the errors of click."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from reactions.cli.main import COMMANDS
from tests.cli.running import in_process, reactions

pytestmark = pytest.mark.slow


def test_the_help_names_commands_and_settings() -> None:
    result = reactions("--help")
    for word in ("demo", "up", "migrate", "replay", "verify", "REACTIONS_REDIS_URL"):
        assert word in result.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_list_of_commands_fits_a_terminal_of_80_columns(command: click.Command) -> None:
    """click cuts a line that does not fit, and ends it with three dots."""
    margin = max(len(str(each.name)) for each in COMMANDS) + 6
    assert not command.get_short_help_str(78 - margin).endswith("...")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["demo", "--events", "0"], "0 is not in the range"),
        (["demo", "--trace", "nowhere.csv"], "does not exist"),
        (["demo", "--outage", "moon"], "is not one of 'broker', 'database'"),
        (["replay"], "Missing argument 'TRACE'"),
        (["up", "--workers", "-1"], "not in the range"),
        (["nonsense"], "No such command"),
    ],
)
def test_a_bad_command_says_what_is_allowed(arguments: list[str], says: str) -> None:
    result = in_process(*arguments)
    assert result.returncode == 2
    assert says in result.stderr


def test_every_command_that_reports_something_has_json() -> None:
    """The others print one line, or serve."""
    leaves = [
        leaf
        for command in COMMANDS
        for leaf in (command.commands.values() if isinstance(command, click.Group) else [command])
    ]
    without = {leaf.name for leaf in leaves if all("--json" not in p.opts for p in leaf.params)}
    assert without == {"add", "describe", "metrics", "migrate", "rename", "retire", "web"}


STRUCK = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for its background
os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.parametrize("module", ["redis", "click"])  # of the client; of the command line
@pytest.mark.parametrize(
    "command",
    [[Path(sys.executable).with_name("reactions")], [sys.executable, "-m", "reactions"]],
    ids=["reactions", "python -m"],
)
def test_ctrl_c_while_python_imports_is_one_line(
    tmp_path: Path, command: list[Path | str], module: str
) -> None:
    (tmp_path / f"{module}.py").write_text(STRUCK)
    ran = subprocess.run(
        [*command, "--help"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "interrupted\n")


SUBCOMMANDS = [
    [group.name, name]
    for group in COMMANDS
    if isinstance(group, click.Group)
    for name in group.commands
]


@pytest.mark.parametrize("arguments", [[], *([command.name] for command in COMMANDS), *SUBCOMMANDS])
def test_every_help_fits_80_columns_and_is_not_cut(arguments: list[str]) -> None:
    shown = in_process(*arguments, "--help", COLUMNS="80").stdout
    assert shown
    for line in shown.splitlines():
        assert len(line) <= 80
        assert not line.endswith("...") or line.startswith("Usage:")


def test_the_help_of_make_has_its_targets_only_and_fits_80_columns(project: Path) -> None:
    command = ["make", "--no-print-directory", "help"]
    ran = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    for line in ran.stdout.splitlines():
        assert line.startswith("make ")
        assert len(line) <= 80


def test_make_setup_says_what_it_does(project: Path) -> None:
    """Each of its steps is announced, and the long one shows what pip does."""
    ran = subprocess.run(
        ["make", "--dry-run", "--always-make", "setup"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = ran.stdout.splitlines()
    works = [number for number, line in enumerate(lines) if " -m " in line and "echo" not in line]
    assert len(works) == 4
    assert all(lines[number - 1].startswith("echo") for number in works)
    assert "--quiet" not in lines[works[2]]

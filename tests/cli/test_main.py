"""The command group: its help, and the errors of click."""

from __future__ import annotations

import click
import pytest

from reactions.cli.main import COMMANDS
from tests.cli.running import reactions

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
    result = reactions(*arguments)
    assert result.returncode == 2
    assert says in result.stderr

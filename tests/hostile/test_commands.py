"""Every command refuses each bad option with one line that names it, and no traceback."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from reactions.cli.main import main
from reactions.demo.embedded import Postgres, Valkey
from tests.support.engine import DEAD_BROKER
from tests.support.profiles import examples

# Stores that do not exist: a command with valid arguments fails at once.
NOWHERE = {
    "REACTIONS_REDIS_URL": "redis://127.0.0.1:1/0",
    "REACTIONS_DATABASE_URL": "postgresql://127.0.0.1:1/x",
    "REACTIONS_BROKER_URL": DEAD_BROKER,
}
TEXTS = [
    "", " ", "-1", "0", "1e3", "1_0", "nan", "9" * 30, "9" * 5_000, "\u0661", "true", "--", "-x",
    "a\nCRITICAL forged", "\udcff", "x" * 10_000, "../../etc/passwd", "/dev/null", "/proc/x",
    "%s%n", "{}", "[bold]", "[/bold]", "'; DROP TABLE reactions; --",
]  # fmt: skip
# The characters that an operating system can pass to a program.
ARGUMENT = st.characters(exclude_categories=["Cs"], exclude_characters="\0")

relaxed = hypothesis_settings(deadline=None, max_examples=examples(15))

STARTS_SERVERS = {"demo", "up", "metrics", "web"}
"""Commands that the tests do not run with valid arguments."""


def leaves() -> dict[str, click.Command]:
    assert isinstance(main, click.Group)
    found: dict[str, click.Command] = {}
    for name, command in main.commands.items():
        if isinstance(command, click.Group):
            found |= {f"{name} {sub}": leaf for sub, leaf in command.commands.items()}
        else:
            found[name] = command
    return found


LEAVES = leaves()
PARAMETERS = [
    (name, parameter)
    for name, command in LEAVES.items()
    for parameter in command.params
    if not (isinstance(parameter, click.Option) and parameter.is_flag)
]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the commands from changing the signals and the logging of this process."""
    monkeypatch.setattr("reactions.cli.main.signal.signal", lambda *_: None)
    monkeypatch.setattr("reactions.cli.main.logging.basicConfig", lambda **_: None)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env=NOWHERE)


def check_clean(result: Result) -> None:
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (0, 1, 2)
    assert "Traceback" not in result.output
    if result.exit_code == 2:
        assert len(re.findall(r"^Error: ", result.stderr, re.MULTILINE)) == 1


def spelled(parameter: click.Parameter, text: str) -> list[str]:
    """Write an argument or an option as it stands on the command line."""
    if isinstance(parameter, click.Argument):
        return ["--", text]
    return [f"{parameter.opts[0]}={text}"]


def takes(parameter: click.Parameter, text: str) -> bool:
    """Whether click's own check accepts the text. These tests do not test click."""
    try:
        parameter.type.convert(text, parameter, None)
    except click.UsageError:
        return False
    except ValueError:  # not a valid path
        return False
    return True


@pytest.mark.parametrize(
    ("name", "parameter"), PARAMETERS, ids=lambda part: getattr(part, "name", part)
)
def test_a_hostile_value_is_refused_by_name(name: str, parameter: click.Parameter) -> None:
    def attempt(text: str) -> None:
        if name in STARTS_SERVERS and takes(parameter, text):
            return
        required = [] if isinstance(parameter, click.Argument) else arguments(name)
        required = [word for word in required if not word.startswith(parameter.opts[0])]
        result = run(*name.split(), *spelled(parameter, text), *required)
        check_clean(result)
        if not takes(parameter, text):
            assert result.exit_code == 2
            named = (
                parameter.opts[0]
                if isinstance(parameter, click.Option)
                else "TRACE|POST|SOURCE|NUMBER"
            )
            assert re.search(named, result.stderr)

    for text in TEXTS:
        attempt(text)
    relaxed(given(st.text(ARGUMENT, max_size=20))(attempt))()


def arguments(name: str) -> list[str]:
    """Return the required arguments of a command."""
    given_ = {"post": "7", "trace": __file__, "source": __file__, "before": "2026-01-31T12:00:00Z"}
    given_ |= {"name": "like", "old": "like", "new": "care"}
    return [
        f"--{parameter.name}={text}" if isinstance(parameter, click.Option) else text
        for parameter in LEAVES[name].params
        if (text := given_.get(str(parameter.name)))
        and (parameter.required or isinstance(parameter, click.Argument))
    ]


def test_every_number_has_a_bound() -> None:
    """Without one, a large number would break a list, a query or a system call."""
    for name, parameter in PARAMETERS:
        if isinstance(parameter.type, click.types.IntParamType):
            bounds = getattr(parameter.type, "min", None), getattr(parameter.type, "max", None)
            assert None not in bounds, (name, parameter.name)


@pytest.mark.parametrize("name", LEAVES)
def test_unknown_options_are_refused(name: str) -> None:
    for text in ("--nonsense", "--nonsense=1", "-Z", "more\nthan", "\udcff"):
        result = run(*name.split(), *arguments(name), text)
        check_clean(result)
        assert result.exit_code == 2


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_no_such_command(text: str) -> None:
    check_clean(run(text))


@pytest.mark.parametrize("name", sorted(LEAVES.keys() - STARTS_SERVERS))
def test_missing_stores_give_one_line(name: str) -> None:
    result = run(*name.split(), *arguments(name))
    check_clean(result)
    assert result.exit_code == (1 if name == "doctor" else 2)  # doctor reports findings


@pytest.mark.parametrize("command", ["replay", "demo"])
def test_an_endless_file_is_not_a_trace(command: str) -> None:
    where = ["/dev/zero"] if command == "replay" else ["--trace", "/dev/zero"]
    result = run(command, *where)
    check_clean(result)
    assert result.exit_code == 2


def test_an_impossible_folder_gives_one_line() -> None:
    result = run("up", "--state-dir", "/proc/nowhere")
    check_clean(result)
    assert result.exit_code == 2


@pytest.mark.parametrize("host", ["no such host", "a" * 300, "256.0.0.1"])
def test_an_impossible_host_gives_one_line(host: str, valkey: Valkey, postgres: Postgres) -> None:
    env = {
        **NOWHERE,
        "REACTIONS_REDIS_URL": valkey.url,
        "REACTIONS_DATABASE_URL": postgres.url,
    }
    result = CliRunner().invoke(main, ["metrics", "--host", host], env=env)
    check_clean(result)
    assert result.exit_code == 2


@pytest.mark.parametrize("revision", ["nonsense", "", "head:base", "\0", "'; DROP TABLE x"])
def test_an_unknown_revision_changes_nothing(revision: str, postgres: Postgres) -> None:
    env = {**NOWHERE, "REACTIONS_DATABASE_URL": postgres.url}
    result = CliRunner().invoke(main, ["migrate", "--to", revision], env=env)
    check_clean(result)
    assert result.exit_code == 2

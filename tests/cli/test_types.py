"""``reactions types``, and the commands and processes that refuse what contradicts the registry."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reactions.core.settings import Settings
from reactions.redis.keys import outbox_layout
from reactions.redis.type_copy import read_types
from tests.cli.running import last_line, reactions
from tests.support.engine import Engine
from tests.support.waiting import patience

WRONG = {"REACTIONS_REACTION_TYPES": "like,laugh"}


def test_types_are_added_renamed_and_retired(engine: Engine) -> None:
    env = engine.settings.environment()
    for arguments in (("add", "\U0001f389 [b]"), ("rename", "love", "care"), ("retire", "sad")):
        result = reactions("types", *arguments, **env)
        assert result.returncode == 0, result.stderr
    result = reactions("types", "list", "--json", **env)
    assert "\U0001f389 [b]" in result.stdout
    found = {known["code"]: known for known in last_line(result)["types"]}
    assert found[7]["name"] == "\U0001f389 [b]"
    assert (found[2]["name"], found[2]["former"]) == ("care", ["love"])
    assert [code for code, known in found.items() if known["retired"]] == [5]
    copied = read_types(engine.client) or ()
    assert [known.name for known in copied] == [known["name"] for known in found.values()]
    words = ("describe", "care", "--label", "Take care", "--emoji", "🧡")
    assert "care is shown as 🧡 Take care" in reactions("types", *words, **env).stderr
    assert "say what to change: --label" in reactions("types", "describe", "care", **env).stderr
    party = ("add", "party", "--label", "Let's party", "--emoji", "🎈")
    assert reactions("types", *party, **env).returncode == 0
    copied = read_types(engine.client) or ()
    shown = {known.name: (known.shown_label, known.emoji) for known in copied}
    assert (shown["care"], shown["party"]) == (("Take care", "🧡"), ("Let's party", "🎈"))
    assert reactions("types", "retire", "sad", "--undo", **env).returncode == 0
    assert not any(known.retired for known in read_types(engine.client) or ())
    result = reactions("types", "rename", "like", "care", **env)
    assert result.returncode == 2
    assert "belongs to code 2" in result.stderr


@pytest.mark.parametrize(
    "command",
    [("verify",), ("inspect", "1"), ("rising",), ("duties",), ("migrate",), ("deadletters",)],
)
def test_a_command_refuses_types_that_contradict_the_registry(
    settings: Settings, command: tuple[str, ...]
) -> None:
    result = reactions(*command, **settings.environment(), **WRONG)
    assert result.returncode == 2, result.stdout
    assert "laugh=2, but code 2 is love" in result.stderr
    assert "reactions types rename OLD NEW" in result.stderr


@pytest.mark.parametrize("part", ["worker", "beat"])
@pytest.mark.parametrize(
    ("types", "words"),
    [("like,laugh", "laugh=2, but code 2 is love"), ("like,party=9", "run: reactions migrate")],
)
def test_worker_and_beat_do_not_start(
    settings: Settings, part: str, types: str, words: str
) -> None:
    result = started(part, {**settings.environment(), "REACTIONS_REACTION_TYPES": types})
    assert result.returncode == 1
    assert words in result.stderr


def test_a_worker_does_not_start_beside_a_newer_layout(engine: Engine) -> None:
    engine.client.set(outbox_layout(), "9|9")
    result = started("worker", engine.settings.environment())
    assert result.returncode == 1
    assert "install the version of reactions that ran `reactions migrate` last" in result.stderr


def started(part: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Start the worker or beat, which are to end by themselves."""
    env["REACTIONS_BROKER_URL"] = env["REACTIONS_REDIS_URL"]  # beat connects before it checks
    options = ["-Q", "persistence", "--pool=solo"] if part == "worker" else []
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", "reactions.tasks", part, *options],
        env=env,
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )


def test_the_web_service_does_not_start(settings: Settings) -> None:
    env = {**settings.environment(), **WRONG}
    env["REACTIONS_WEB_AUTHENTICATOR"] = "reactions.web.demo_auth:chosen_user"
    result = reactions("web", "--port", "65000", **env)
    assert result.returncode == 2
    assert "laugh=2, but code 2 is love" in result.stderr

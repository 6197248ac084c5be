"""``reactions types``, and the commands and processes that refuse what contradicts the registry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from reactions.cli.main import COMMANDS, main
from reactions.core.settings import Settings
from reactions.redis.keys import default_keys as keys
from reactions.redis.type_copy import read_types
from tests.cli.running import in_process, last_line
from tests.support.engine import Engine
from tests.support.waiting import patience

WRONG = {"REACTIONS_REACTION_TYPES": "like,laugh"}


def test_types_are_added_renamed_and_retired(engine: Engine) -> None:
    env = engine.settings.environment()
    for arguments in (("add", "\U0001f389 [b]"), ("rename", "love", "care"), ("retire", "sad")):
        result = in_process("types", *arguments, **env)
        assert result.returncode == 0, result.stderr
    result = in_process("types", "list", "--json", **env)
    assert "\U0001f389 [b]" in result.stdout
    found = {known["code"]: known for known in last_line(result)["types"]}
    assert found[7]["name"] == "\U0001f389 [b]"
    assert (found[2]["name"], found[2]["former"]) == ("care", ["love"])
    assert [code for code, known in found.items() if known["retired"]] == [5]
    copied = read_types(engine.client, keys) or ()
    assert [known.name for known in copied] == [known["name"] for known in found.values()]
    words = ("describe", "care", "--label", "Take care", "--emoji", "🧡")
    assert "care is shown as 🧡 Take care" in in_process("types", *words, **env).stderr
    assert "say what to change: --label" in in_process("types", "describe", "care", **env).stderr
    party = ("add", "party", "--label", "Let's party", "--emoji", "🎈")
    assert in_process("types", *party, **env).returncode == 0
    copied = read_types(engine.client, keys) or ()
    shown = {known.name: (known.shown_label, known.emoji) for known in copied}
    assert (shown["care"], shown["party"]) == (("Take care", "🧡"), ("Let's party", "🎈"))
    assert in_process("types", "retire", "sad", "--undo", **env).returncode == 0
    assert not any(known.retired for known in read_types(engine.client, keys) or ())
    result = in_process("types", "rename", "like", "care", **env)
    assert result.returncode == 2
    assert "belongs to code 2" in result.stderr


REFUSING = {
    "backfill": ("--before=2026-01-31T12:00:00Z",),
    "clock": (),
    "deadletters": (),
    "duties": (),
    "inspect": ("1",),
    "metrics": ("--once",),
    "migrate": (),
    "rebuild": (),
    "replay": ("trace.csv",),
    "rising": (),
    "verify": (),
}
OTHERS = {
    "capacity": "asks no server",
    "demo": "brings its own servers",
    "doctor": "has a finding about it, see tests/ops/doctor/test_postgres.py",
    "partitions": "reads no reaction types",
    "types": "changes the registry",
    "up": "brings its own servers",
    "web": "see below",
}


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_a_command_refuses_types_that_contradict_the_registry(
    settings: Settings, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (command in REFUSING) != (command in OTHERS)
    if command in OTHERS:
        return
    monkeypatch.chdir(tmp_path)
    Path("trace.csv").write_text("ts_seconds,user_id,item_id,type\n1,5,777,like\n")
    words = [command, *REFUSING[command]]
    result = CliRunner().invoke(main, words, env=settings.environment() | WRONG)
    assert result.exit_code == 2, result.stdout
    said = " ".join(result.stderr.split())
    assert "laugh=2, but code 2 is love" in said
    assert "reactions types rename OLD NEW" in said


@pytest.mark.parametrize(
    ("part", "name", "value", "words"),
    [
        ("worker", "REACTION_TYPES", "like,laugh", "laugh=2, but code 2 is love"),
        ("beat", "REACTION_TYPES", "like,party=9", "run: reactions migrate"),
        ("worker", "DATABASE_URL", "postgresql://127.0.0.1:1/x?foo=1", "has the option foo"),
        ("beat", "REDIS_URL", "redis://127.0.0.1:1/0?foo=1", "has the option foo"),
    ],
)
def test_worker_and_beat_do_not_start(
    settings: Settings, part: str, name: str, value: str, words: str
) -> None:
    result = started(part, settings, **{f"REACTIONS_{name}": value})
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert words in result.stderr


def test_a_worker_does_not_start_beside_a_newer_layout(engine: Engine) -> None:
    engine.client.set(keys.outbox_layout(), "9|9")
    result = started("worker", engine.settings)
    assert result.returncode == 1
    assert "install the version of reactions that ran `reactions migrate` last" in result.stderr


def started(part: str, settings: Settings, **env: str) -> subprocess.CompletedProcess[str]:
    """Start the worker or beat, which are to end by themselves."""
    given = settings.environment()
    given["REACTIONS_BROKER_URL"] = given["REACTIONS_REDIS_URL"]  # beat connects before it checks
    options = ["-Q", "persistence", "--pool=solo"] if part == "worker" else []
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", "reactions.tasks", part, *options],
        env=given | env,
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )


def test_the_web_service_does_not_start(settings: Settings) -> None:
    env = {**settings.environment(), **WRONG}
    env["REACTIONS_WEB_AUTHENTICATOR"] = "reactions.web.demo_auth:chosen_user"
    result = in_process("web", "--port", "65000", **env)
    assert result.returncode == 2
    assert "laugh=2, but code 2 is love" in result.stderr

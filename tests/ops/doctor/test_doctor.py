"""``reactions.ops.doctor``: a healthy stack has no findings, and a dead server hides nothing."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from reactions.cli.main import main
from reactions.core.settings import Settings
from reactions.demo.stack import Stack
from reactions.ops import doctor
from reactions.ops.doctor import State
from tests.ops.doctor.examining import findings, with_urls
from tests.support.engine import DEAD_BROKER
from tests.support.servers import running_postgres
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


def test_a_healthy_stack_has_only_good_findings(stack: Stack) -> None:
    wait_until(
        lambda: findings(stack.settings)["duties"].state is State.OK, 60, "a sweep is recorded"
    )
    result = CliRunner().invoke(main, ["doctor", "--json"], env=stack.settings.environment())
    report = json.loads(result.stdout.splitlines()[-1])
    assert [f for f in report["findings"] if f["state"] != "ok"] == []
    assert (result.exit_code, report["healthy"]) == (0, True)
    assert {f["check"] for f in report["findings"]} == {
        "environment",
        "retry schedule",
        *(f"redis {check}" for check in ("version", "role", "eviction", "persistence", "memory")),
        *(f"broker {check}" for check in ("version", "role", "eviction", "persistence", "memory")),
        "redis layout",
        "redis listpacks",
        "oldest pending",
        "postgresql version",
        "postgresql role",
        "limits",
        "migrations",
        "reaction types",
        "dead letters",
        "duties",
        "clocks",
        "versions",
        "beat",
        "queue persistence",
        "queue maintenance",
    }
    shown = CliRunner().invoke(main, ["doctor"], env=stack.settings.environment()).stdout
    assert "0 failures, 0 warnings in 27 checks" in shown


def test_every_finding_that_is_not_good_has_a_remedy() -> None:
    """By the source: some of them need a server that nobody has."""
    made = [
        node
        for path in Path(doctor.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding"
    ]
    assert len(made) > 30
    for node in made:
        assert ast.unparse(node.args[1]) == "State.OK" or len(node.args) == 4, ast.unparse(node)


def test_servers_that_do_not_answer_are_findings(settings: Settings) -> None:
    nowhere = with_urls(
        settings, redis_url=DEAD_BROKER, database_url="postgresql+psycopg2://127.0.0.1:1/x"
    )
    result = CliRunner().invoke(main, ["doctor", "--json"], env=nowhere.environment())
    assert result.exit_code == 1
    report = json.loads(result.stdout.splitlines()[-1])
    silent = [f for f in report["findings"] if f["found"].startswith("does not answer")]
    assert [f["check"] for f in silent] == ["redis", "postgresql", "broker"]
    assert all(f["state"] == "failure" and "REACTIONS_" in f["remedy"] for f in silent)


def test_a_stopped_postgresql_hides_nothing_else(settings: Settings) -> None:
    with running_postgres(18) as postgres:
        away = with_urls(settings, database_url=postgres.url.replace("://", "+psycopg2://", 1))
        postgres.stop()
        found = findings(away)
        postgres.start()
    assert found["postgresql"].state is State.FAILURE
    assert found["redis persistence"].state is State.OK

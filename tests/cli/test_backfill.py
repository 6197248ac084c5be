"""``reactions backfill``: its types, and how far it came. ``tests/docs`` runs the whole way."""

from __future__ import annotations

from click.testing import CliRunner, Result

from reactions.cli.main import main
from reactions.postgres.type_registry import TypeRegistry
from tests.cli.conftest import figures
from tests.support.engine import Engine

WORDS = ("backfill", "--before", "2026-01-31T12:00:00Z", "--json")


def backfill(engine: Engine, *lines: str, **env: str) -> Result:
    text = "\n".join(["post_id,user_id,type,at_us", *lines])
    env = engine.settings.environment() | {f"REACTIONS_{key}": env[key] for key in env}
    return CliRunner().invoke(main, WORDS, text, env=env)


def test_it_takes_every_type_of_the_registry(engine: Engine) -> None:
    """Also those that its environment does not name, and retired ones."""
    registry = TypeRegistry(engine.database)
    registry.add("party")
    registry.retire("sad")
    lines = "7,1,party,1700000000000000", "7,2,sad,1600000000000000"
    result = backfill(engine, *lines, REACTION_TYPES="like")
    assert result.exit_code == 0, result.stderr
    found = figures(result)
    assert (found["changed"], found["reached"]) == (2, "7")


def test_it_names_the_post_that_it_reached(engine: Engine) -> None:
    lines = "7,1,like,1700000000000000", "8,1,like,1700000000000000", "broken"
    result = backfill(engine, *lines, BATCH_ROWS="1")
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert "every post up to 8 is durable: continue with this one" in said
    assert "line 4 does not have four fields" in said
    assert backfill(engine, lines[1], "9,1,like,1700000000000000").exit_code == 0
    assert [engine.queries.counts([post])[post] for post in (7, 8, 9)] == [{1: 1}] * 3

"""What commands print fits 80 columns, whatever the values, and nothing of it is cut."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from sqlalchemy import text

from reactions.core.constants import MAX_ID
from reactions.postgres.type_registry import TypeRegistry
from reactions.redis.keys import default_keys as keys
from tests.cli.conftest import Run
from tests.support.engine import Engine
from tests.support.reading import react

LONG = "\U0001f389" * 64
"""The longest name of a type; each character takes two columns."""


def joined(shown: str) -> str:
    """What was printed, without the ends of lines and the blanks of tables."""
    assert all(cell_len(line) <= 80 for line in shown.splitlines())
    assert "…" not in shown
    return "".join(shown.split())


def test_rising(filled: Engine, run: Run) -> None:
    react(filled, MAX_ID, range(1, 7))
    filled.drain()
    with filled.database.engine.begin() as connection:
        connection.execute(text("UPDATE posts SET tier = 3 WHERE post_id = :id"), {"id": MAX_ID})
    now = int(filled.clock.now_us())
    filled.client.set(keys.post_rate(MAX_ID), f"1e-8|{now}|{10**12}", px=60_000)
    shown = joined(run("rising").stdout)
    assert str(MAX_ID) in shown
    assert "+00:00" in shown


@pytest.mark.parametrize("changes", [0, 5])
def test_inspect(filled: Engine, run: Run, changes: int) -> None:
    react(filled, MAX_ID, range(1, 16))
    filled.drain()
    filled.loader.load([MAX_ID])
    react(filled, MAX_ID, range(20, 20 + changes))
    shown = joined(run("inspect", str(MAX_ID)).stdout)
    assert keys.post_reaction_counts(MAX_ID) in shown


def test_types_list(filled: Engine, run: Run) -> None:
    registry = TypeRegistry(filled.database)
    registry.add(LONG, None)
    for number in range(3):
        registry.rename(LONG if not number else f"{number - 1:064}", f"{number:064}")
    registry.retire(f"{2:064}", True)
    shown = joined(run("types", "list").stdout)
    # Two columns break side by side, so count the characters.
    assert shown.count("\U0001f389") == 64
    assert shown.count("0") == 64 + 63 + 63 + 63  # its label is its name
    assert "retired" in shown


def test_verify(filled: Engine, run: Run) -> None:
    filled.client.hincrby(keys.post_reaction_counts(1042), "1", 10**12)
    joined(run("verify").output)


def test_doctor(run: Run) -> None:
    shown = joined(run("doctor").stdout)
    assert "failures," in shown

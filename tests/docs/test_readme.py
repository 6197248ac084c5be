"""The Python of README.md runs on real servers, and returns what its comments say."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from reactions.api import default
from tests.docs.fenced import blocks
from tests.support.engine import Engine

OUTCOME = re.compile(r"#\s*(?:Outcome\(status=)?'(\w+)'(?:, previous='(\w+)')?")
VALUE = re.compile(r"#\s*((?:\{|Page\().*[})])")
"""A value as Python shows it, with an ellipsis for what is left out."""


@pytest.fixture
def snippets(project: Path) -> list[str]:
    return blocks(project / "README.md", "python")


def test_every_snippet_runs(
    snippets: list[str], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default, "_client", engine.reactions)
    assert snippets
    compared = 0
    for snippet in snippets:
        names: dict[str, Any] = {"__name__": "snippet"}
        lines = snippet.splitlines()
        for statement in ast.parse(snippet).body:
            line = lines[(statement.end_lineno or 1) - 1]
            if not isinstance(statement, ast.Expr):
                exec(ast.unparse(statement), names)  # noqa: S102 - code of the README
            else:
                compared += is_as_said(eval(ast.unparse(statement), names), line)  # noqa: S307
    assert compared == 5
    engine.drain()
    assert engine.verify().holds


def is_as_said(value: Any, line: str) -> bool:
    """Compare a value with the comment of its line, if that shows one."""
    if said := OUTCOME.search(line):
        assert value.status == said[1]
        assert said[2] in (None, value.previous)
        return True
    if said := VALUE.search(line):
        assert re.fullmatch(re.escape(said[1]).replace("…", ".+"), repr(value))
        return True
    return False


def test_it_uses_functions_that_exist(snippets: list[str]) -> None:
    said = set(re.findall(r"\breactions\.(\w+)\(", "\n".join(snippets)))
    assert said <= set(dir(default))

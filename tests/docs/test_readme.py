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

COMMENT = re.compile(r"#\s*(?:Outcome\(status=)?'(\w+)'")


@pytest.fixture
def snippets(project: Path) -> list[str]:
    return blocks(project / "README.md", "python")


def test_every_snippet_runs(
    snippets: list[str], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default, "_client", engine.reactions)
    assert snippets
    for snippet in snippets:
        names: dict[str, Any] = {"__name__": "snippet"}
        lines = snippet.splitlines()
        for statement in ast.parse(snippet).body:
            said = COMMENT.search(lines[(statement.end_lineno or 1) - 1])
            if said is not None and isinstance(statement, ast.Expr):
                assert eval(ast.unparse(statement), names).status == said[1]  # noqa: S307
            else:
                exec(ast.unparse(statement), names)  # noqa: S102 - code of the README
    engine.drain()
    assert engine.verify().holds


def test_it_uses_functions_that_exist(snippets: list[str]) -> None:
    said = set(re.findall(r"\breactions\.(\w+)\(", "\n".join(snippets)))
    assert said <= set(dir(default))

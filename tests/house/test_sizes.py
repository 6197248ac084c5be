"""The sizes that the house allows: lines of a Python file, of a function, and of a Lua script.

A file that is larger stands in ``EXCEPTIONS`` with its reason. An exception that is not needed any
more fails the test, so the table only shrinks.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("reactions", "tests", "benchmarks", "chaos")
MAX_FILE, MAX_FUNCTION, MAX_SCRIPT = 300, 40, 80

EXCEPTIONS = {
    "reactions/api/client.py": "the public class: most lines are the docstrings of its methods",
    "reactions/lua/react.lua": "the hot path: one call, read from top to bottom",
    "reactions/lua/settle.lua": "one settlement in one step; its parts are in include/",
    "tests/redis/test_keys.py::test_every_call_names_all_its_keys_within_one_slot": "one call of each script, as a list",  # noqa: E501
    "tests/redis/test_ttl_keyspace.py::test_every_cache_key_has_a_ttl_and_no_outbox_key_has_one": "one table of all keys",  # noqa: E501
    "tests/system/test_model.py": "one state machine: its rules share the model",
}
"""A file, or a function as ``file::name`` -> why it is larger."""


def python_files() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.py"))


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from its ``def`` on, without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is None:
        return lines
    docstring = function.body[0]
    return lines - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length of each function of a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{shown(path)}::{node.name}", length(node)


def lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


@cache
def too_large() -> dict[str, int]:
    """Each file and function above its limit, with its number of lines."""
    found = {shown(p): lines(p) for p in python_files() if lines(p) > MAX_FILE}
    for path in python_files():
        found |= {name: size for name, size in functions(path) if size > MAX_FUNCTION}
    scripts = (ROOT / "reactions/lua").rglob("*.lua")
    return found | {shown(p): lines(p) for p in scripts if lines(p) > MAX_SCRIPT}


def test_nothing_is_larger_than_the_house_allows() -> None:
    unexcused = {name: size for name, size in too_large().items() if name not in EXCEPTIONS}
    limits = f"{MAX_FILE} a file, {MAX_FUNCTION} a function, {MAX_SCRIPT} a script"
    assert not unexcused, f"more lines than {limits}: divide them, or add a reason"


def test_no_exception_is_left_that_is_not_needed() -> None:
    assert not set(EXCEPTIONS) - set(too_large()), "remove these from EXCEPTIONS"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("def f():\n    return 1\n", 2),
        ('def f():\n    """One line."""\n    return 1\n', 2),
        ('def f():\n    """Two\n\n    lines."""\n\n    return 1\n', 3),
    ],
)
def test_a_docstring_does_not_count(body: str, expected: int) -> None:
    (function,) = ast.parse(body).body
    assert isinstance(function, ast.FunctionDef)
    assert length(function) == expected

"""The source contains no pickle, no code from data, and no SQL or keys built from text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactions.core.celery_app import make_app
from reactions.core.settings import Settings

ROOT = Path(__file__).parent.parent.parent
PACKAGE = sorted((ROOT / "reactions").rglob("*.py"))
SHIPPED = [*PACKAGE, *sorted((ROOT / "alembic").rglob("*.py")), ROOT / "celeryconfig.py"]

MODULES = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml"}
CALLS = {"eval", "exec", "compile", "__import__"}
RUNS_SQL = {"text", "execute", "exec_driver_sql", "scalar", "scalars", "literal_column"}

# Statements that are built from text, each with the reason.
BUILT = {
    # Constant templates with constant conditions; the values are bound.
    "reactions/postgres/erasure.py": {
        *("ERASE_POST", "ERASE_USER", "ERASE_TOMBSTONES", "TOMBSTONES_OF_USER")
    },
    "reactions/postgres/version_moves.py": {
        *("MOVE_ROWS", "NEWEST_LETTERS", "OLDER_LETTERS", "LOWER_POSTS")
    },
    # DDL cannot bind names: those of indexes and partitions, from the catalogue.
    "reactions/postgres/repartition.py": {"COPY", "PAGE"},
    # DDL cannot bind names and comments: here those of an index and of partitions, and a revision.
    "reactions/postgres/migrate.py": {"create_index", "mark_oldest"},
    # A schema's name: from the settings, which take an identifier only, or quoted by PostgreSQL.
    "reactions/postgres/schemas.py": {"create_schema", "old_schema"},
    "alembic/env.py": {"write"},
    # Constant texts before the statement.
    "reactions/postgres/limits.py": {"enforce"},
    "reactions/postgres/direct.py": {"DirectReads"},
    "alembic/versions/0001_reactions.py": {"upgrade"},
    "alembic/versions/0006_standard_names.py": {"_rename_duty"},  # constants of the same file
    "alembic/versions/0009_schema_of_its_own.py": {"upgrade", "downgrade"},
    "alembic/versions/0012_forgotten_by_shard.py": {"upgrade", "downgrade"},  # constants
    "alembic/versions/0013_vacuum_earlier.py": {"upgrade", "downgrade"},  # constants
}

KEY = re.compile(r"(post|user|outbox):")
# Patterns that match more than one key: their beginnings.
KEY_TEXTS = {"reactions/redis/cached_ids.py": {"user:", "user:*"}}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=found) | ast.Attribute(attr=found):
            return found
    return ""


def nodes(module: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield every node, with the top-level name that contains it."""
    for top in module.body:
        owner = getattr(top, "name", "")
        if isinstance(top, ast.Assign) and isinstance(top.targets[0], ast.Name):
            owner = top.targets[0].id
        for node in ast.walk(top):
            yield owner, node


def imported(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name.split(".")[0] for alias in names]
        case ast.ImportFrom(module=str(module)):
            return [module.split(".")[0]]
    return []


def dangerous(module: ast.Module) -> list[str]:
    """Find imports and calls that turn data into code."""
    found = []
    for _, node in nodes(module):
        found += [f"import {one}" for one in imported(node) if one in MODULES]
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in CALLS:
                found.append(node.func.id)
            found += ["shell" for word in node.keywords if word.arg == "shell"]
    return found


def built(node: ast.expr) -> bool:
    """Whether an f-string, ``%``, ``+``, ``format``, ``join`` or ``replace`` builds the text."""
    match node:
        case ast.JoinedStr():
            return True
        case ast.BinOp(op=ast.Mod() | ast.Add()):
            return True
        case ast.Call(func=ast.Attribute(attr="format" | "join" | "replace" | "format_map")):
            return True
    return False


def built_sql(module: ast.Module) -> set[str]:
    """Find where built text runs as SQL, directly or through a variable."""
    variables = {
        (owner, target.id)
        for owner, node in nodes(module)
        if isinstance(node, ast.Assign) and built(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = set()
    for owner, node in nodes(module):
        if isinstance(node, ast.Call) and called(node) in RUNS_SQL and node.args:
            first = node.args[0]
            variable = isinstance(first, ast.Name) and (
                (owner, first.id) in variables or ("", first.id) in variables
            )
            if built(first) or variable:
                found.add(owner)
    return found


def key_texts(module: ast.Module) -> set[str]:
    """Find strings that begin like a key. Ignore docstrings."""
    documents = {
        id(node.value)
        for _, node in nodes(module)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return {
        node.value
        for _, node in nodes(module)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documents
        and KEY.match(node.value)
    }


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_no_data_becomes_code(path: Path) -> None:
    assert dangerous(tree(path)) == []


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_sql_is_never_built_from_values(path: Path) -> None:
    assert built_sql(tree(path)) == BUILT.get(name(path), set())


@pytest.mark.parametrize("path", PACKAGE, ids=name)
def test_keys_are_built_in_one_place(path: Path) -> None:
    if path.name != "keys.py":
        assert key_texts(tree(path)) == KEY_TEXTS.get(name(path), set())


def test_every_key_is_made_from_integers() -> None:
    """mypy checks the callers; this test checks the declarations."""
    found = 0
    for node in ast.walk(tree(ROOT / "reactions" / "redis" / "keys.py")):
        if isinstance(node, ast.FunctionDef) and node.name != "__init__":
            found += 1
            kinds = {arg.arg: ast.unparse(arg.annotation or arg) for arg in node.args.args}
            texts = {a for a, kind in kinds.items() if kind != "int"}
            # The settings check the names of spaces.
            assert texts <= {"self", "what", "first", "token", "space"}, node.name
    assert found > 20


def test_celery_reads_json_and_nothing_else() -> None:
    conf = make_app(Settings()).conf
    assert conf.accept_content == ["json"]
    assert conf.result_accept_content in (None, ["json"])
    assert {conf.task_serializer, conf.result_serializer, conf.event_serializer} == {"json"}


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from marshal import loads", "x = eval(y)", "run(a, shell=True)"],
)
def test_the_search_finds_data_that_becomes_code(source: str) -> None:
    assert dangerous(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "def f(c, x): c.execute(f'SELECT {x}')",
        "def f(c, x): c.execute(text('SELECT %s' % x))",
        "def f(c, x): c.exec_driver_sql('SELECT ' + x)",
        "def f(c, x): c.scalar(text('SELECT {}'.format(x)))",
        "def f(c, x):\n    q = f'SELECT {x}'\n    c.execute(q)",
    ],
)
def test_the_search_finds_built_sql(source: str) -> None:
    assert built_sql(ast.parse(source)) == {"f"}


def test_the_search_finds_a_built_key() -> None:
    assert key_texts(ast.parse("key = f'post:{{42}}:{x}'")) == {"post:{42}:"}

"""A small linter for ``reactions/lua``: ``python -m tests.house.luacheck``. It needs no Lua.

It checks names, layout and headers: the KEYS that a header lists are those that the body uses, and
as many as ``reactions.redis.scripts`` sends. ``tests/lua`` runs each file on real servers.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from luaparser import ast
from luaparser import astnodes as lua

from reactions.core import resources
from reactions.redis import scripts

FOLDER = Path(__file__).parents[2] / "reactions" / "lua"
LONGEST = 100
HEADER = ("KEYS", "ARGV", "reply", "cost")
GLOBALS = {"redis", "KEYS", "ARGV", "string", "math", "table", "tonumber", "tostring", "ipairs"}
GLOBALS |= {"pairs", "unpack", "select", "cjson", "type", "error"}
KEYS_BLOCK = re.compile(r"^-- KEYS.*?(?=^-- ARGV)", re.MULTILINE | re.DOTALL)
KEY_INDEX = re.compile(r" {2,}(\d+) \S")  # `  1 post:reactions`: two spaces begin an entry

Found = Iterator[tuple[int, str]]


def check(path: Path, declared: Mapping[str, int]) -> list[str]:
    """Everything wrong with a file, as ``file:line: message``.

    Args:
        path: an include when its folder is called ``include``, else a script.
        declared: script -> number of keys that ``reactions.redis.scripts`` sends.
    """
    text = path.read_text("utf-8")
    include = path.parent.name == "include"
    found = [*_layout(text), *_header(text, path.stem, () if include else HEADER)]
    try:
        tree = ast.parse(text)
    except ast.SyntaxException as error:
        line = re.search(r"line (\d+)", str(error))
        found.append((int(line[1]) if line else 1, str(error)))
    else:
        names = Names(_included_before(path.stem) if include else _included(path.stem))
        names.walk(tree)
        if include:  # the scripts use what it defines
            found += [p for p in names.problems if p[1] not in unused(definitions(text))]
            if not any(path.stem in script.include for script in scripts.ALL):
                found.append((1, "no Script of reactions.redis.scripts.ALL includes this file"))
        else:
            found += [*names.problems, *_keys(text, tree, declared.get(path.stem))]
    shown = os.path.relpath(path)
    return [f"{shown}:{line}: {message}" for line, message in sorted(found)]


def _included(name: str) -> set[str]:
    """The names that its includes give to a script."""
    includes = next((script.include for script in scripts.ALL if script.name == name), ())
    return _given(includes)


def _included_before(name: str) -> set[str]:
    """The names that an include may use: those of the includes before it, in every script."""
    orders = [script.include for script in scripts.ALL if name in script.include]
    given = [_given(order[: order.index(name)]) for order in orders]
    return set.intersection(*given) if given else set()


def _given(includes: Iterable[str]) -> set[str]:
    return {n for part in includes for n in definitions(resources.lua(f"include/{part}"))}


def _layout(text: str) -> Found:
    for number, line in enumerate(text.split("\n"), start=1):
        if line != line.rstrip():
            yield number, "trailing white space"
        if "\t" in line:
            yield number, "a tab"
        if len(line) > LONGEST:
            yield number, f"{len(line)} characters, more than {LONGEST}"


def definitions(text: str) -> set[str]:
    """The functions and constants that an include defines for those after it."""
    functions = re.findall(r"^local function (\w+)", text, re.MULTILINE)
    constants = re.findall(r"^local ([A-Z_, ]+) =", text, re.MULTILINE)
    return {*functions, *(name for names in constants for name in names.split(", "))}


def unused(names: Iterable[str]) -> set[str]:
    return {f"local {name} is never used" for name in names}


def _header(text: str, name: str, parts: Iterable[str]) -> Found:
    if not text.startswith(f"-- {name}: "):
        yield 1, f"does not begin with `-- {name}: `"
    for part in parts:
        if not re.search(rf"^-- {part} ", text, re.MULTILINE):
            yield 1, f"the header has no line `-- {part}`"


def _keys(text: str, tree: Any, declared: int | None) -> Found:
    block = KEYS_BLOCK.search(text)
    listed = {int(number) for number in KEY_INDEX.findall(block[0])} if block else set()
    if declared is None:
        yield 1, "no Script of reactions.redis.scripts.ALL has this name"
    elif listed != set(range(1, declared + 1)):
        yield (
            1,
            f"the header lists KEYS {sorted(listed)}, but reactions.redis.scripts sends {declared}",
        )
    nodes = list(ast.walk(tree))
    loops = {  # index -> the loop whose variable it is
        id(index): loop
        for loop in nodes
        if isinstance(loop, lua.Fornum)
        for index in ast.walk(loop.body)
        if isinstance(index, lua.Index) and getattr(index.idx, "id", None) == loop.target.id
    }
    used: set[int] = set()
    indices = [n for n in nodes if isinstance(n, lua.Index) and _is_keys(n.value)]
    for index in indices:
        match index.idx, loops.get(id(index)):
            case lua.Number(n=int(number)), _:
                used.add(number)
            case _, lua.Fornum(start=lua.Number(n=first), stop=lua.Number(n=last)):
                used |= set(range(first, last + 1))
            case _, lua.Fornum(start=lua.Number(n=1), stop=lua.ULengthOP(operand=o)) if _is_keys(o):
                pass  # `#KEYS` reads KEYS as a whole, see below
            case _:
                yield index.line, "KEYS[...] is neither a number nor a loop's variable"
    if sum(map(_is_keys, nodes)) > len(indices):  # ipairs(KEYS), unpack(KEYS), #KEYS
        used |= listed
    for number in sorted(used ^ listed):
        yield 1, f"KEYS {number} is only in the {'body' if number in used else 'header'}"


def _is_keys(node: Any) -> bool:
    return isinstance(node, lua.Name) and node.id == "KEYS"


class Names:
    """Walks a tree and its scopes; finds undefined, global, unused and shadowed names."""

    def __init__(self, included: Iterable[str] = ()) -> None:
        self._globals = GLOBALS | set(included)
        self.problems: list[tuple[int, str]] = []
        self._line = 1  # of the last node that has a line; a declared name has none
        self._scopes: list[dict[str, int]] = []  # name -> line; negative after a read

    def walk(self, node: Any) -> None:  # noqa: C901 - one case for each kind of node
        self._line = getattr(node, "line", None) or self._line
        match node:
            case list():
                for child in node:
                    self.walk(child)
            case lua.Name():
                self._read(node.id)
            case lua.Index(notation=lua.IndexNotation.DOT):
                self.walk(node.value)
            case lua.Field(between_brackets=False):
                self.walk(node.value)
            case lua.Invoke():
                self.walk([node.source, node.args])
            case lua.LocalAssign():
                self.walk(node.values)
                self._declare(node.targets)
            case lua.Assign():
                self.walk(node.values)
                self._write(node.targets)
            case lua.Block():
                self._scope([], node.body)
            case lua.Forin():
                self.walk(node.iter)
                self._scope(node.targets, node.body)
            case lua.Fornum():
                self.walk([node.start, node.stop, node.step])
                self._scope([node.target], node.body)
            case lua.Repeat():  # its condition sees the locals of its body
                self._scope([], [node.body.body, node.test])
            case lua.LocalFunction():
                self._declare([node.name])
                self._scope(node.args, node.body)
            case lua.Function():
                self._write([node.name])
                self._scope(node.args, node.body)
            case lua.AnonymousFunction():
                self._scope(node.args, node.body)
            case lua.Node():
                self.walk([child for name, child in vars(node).items() if name[0] != "_"])

    def _scope(self, names: Iterable[Any], body: object) -> None:
        self._scopes.append({})
        self._declare(names)
        self.walk(body)
        for name, line in self._scopes.pop().items():
            if line > 0:
                self.problems.append((line, f"local {name} is never used"))

    def _declare(self, names: Iterable[Any]) -> None:
        for name in (n.id for n in names if isinstance(n, lua.Name) and n.id != "_"):
            if name in self._globals or any(name in scope for scope in self._scopes):
                self.problems.append((self._line, f"local {name} shadows another {name}"))
            self._scopes[-1][name] = self._line

    def _write(self, targets: Iterable[Any]) -> None:
        for target in targets:
            if not isinstance(target, lua.Name):
                self.walk(target)
            elif not any(target.id in scope for scope in self._scopes):
                self.problems.append((self._line, f"{target.id} is assigned without a local"))

    def _read(self, name: str) -> None:
        scope = next((scope for scope in reversed(self._scopes) if name in scope), None)
        if scope is not None:
            scope[name] = -abs(scope[name])
        elif name not in self._globals:
            self.problems.append((self._line, f"{name} is not defined"))


def main() -> int:
    declared = {script.name: script.keys for script in scripts.ALL}
    files = sorted(FOLDER.rglob("*.lua"))
    problems = [problem for path in files for problem in check(path, declared)]
    print("\n".join(problems or [f"{len(files)} Lua files checked"]))  # noqa: T201
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

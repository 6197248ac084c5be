"""The Lua linter finds each kind of fault, and the project's own files have none."""

from __future__ import annotations

from pathlib import Path

import pytest

from reactions.core import resources
from reactions.redis import scripts
from tests.house import luacheck

HEADER = """\
-- demo: what it does.
--
-- KEYS   1 post:reactions  2 post:delta
--        3 outbox:dirty
-- ARGV   1 user id  2.. 7 more
-- reply  1
-- cost   O(1)

"""
USES_KEYS = "local a, b, c = KEYS[1], KEYS[2], KEYS[3]\n"
BODY = USES_KEYS + "return {a, b, c}\n"


def problems(tmp_path: Path, text: str, *, name: str = "demo", keys: int = 3) -> list[str]:
    """Line and message of each problem."""
    path = tmp_path / f"{name}.lua"
    path.write_text(text, "utf-8")
    found = luacheck.check(path, {"demo": keys})
    assert all(problem.count(f"{name}.lua:") == 1 for problem in found)
    return [problem.partition(f"{name}.lua:")[2] for problem in found]


def test_a_clean_file_is_clean(tmp_path: Path) -> None:
    assert problems(tmp_path, HEADER + BODY) == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return os.time()", "10: os is not defined"),
        ("return redis.call('GET', key)", "10: key is not defined"),
        ("return t.x", "10: t is not defined"),
        ("return {n = n}", "10: n is not defined"),
        ("return {[n] = 1}", "10: n is not defined"),
        ("return redis.call('GET', a):len(x)", "10: x is not defined"),
        ("do local x = 1 redis.log(x) end\nreturn x", "11: x is not defined"),
        ("local x = x\nreturn x", "10: x is not defined"),
        ("n = 1", "10: n is assigned without a local"),
        ("a, n = 1, 2", "10: n is assigned without a local"),
        ("function f() end", "10: f is assigned without a local"),
        ("local x = 1", "10: local x is never used"),
        ("local x\nx = 1", "10: local x is never used"),
        ("local x, _ = 1, 2", "10: local x is never used"),
        ("for i = 1, 2 do redis.log('') end", "10: local i is never used"),
        ("for i, v in ipairs(ARGV) do redis.log(v) end", "10: local i is never used"),
        ("local function f() end", "10: local f is never used"),
        ("redis.log(function(p) return 1 end)", "10: local p is never used"),
        ("local a = 1\nreturn a", "10: local a shadows another a"),
        ("if b then local a = 1 redis.log(a) end", "10: local a shadows another a"),
        ("for _, a in ipairs(ARGV) do redis.log(a) end", "10: local a shadows another a"),
        ("local string = 'x'\nreturn string", "10: local string shadows another string"),
        ("return 1 ", "10: trailing white space"),
        ("\treturn 1", "10: a tab"),
        (f"return '{'µ' * 92}'", "10: 101 characters, more than 100"),
        ("local = 1", "10: syntax errors: line 10:6: no viable alternative at input 'local ='"),
    ],
)
def test_faults_of_the_body(tmp_path: Path, body: str, expected: str) -> None:
    used = "" if body.startswith("local =") else "redis.log(a, b, c)\n"
    text = HEADER.removesuffix("\n") + USES_KEYS + (used or "\n") + body
    assert expected in problems(tmp_path, text)


@pytest.mark.parametrize(
    "body",
    [
        "local _ = 1",
        "local owner, _, last = string.match(a, 'x')\nreturn {owner, last}",
        "for _ = 1, 2 do for _ = 1, 2 do redis.log('') end end",
        "local x = 1\nrepeat local y = x until y == 1",
        "local t = {x = 1}\nt.x = 2\nt['y'] = 3\nreturn t.x",
        "local t = {1, 'two', ['x'] = 3}\nreturn t",
        "local function f(n) return n == 0 or f(n - 1) end\nreturn f(1)",
        "local x = 1\nlocal f = function() x = x + 1 return x end\nreturn f()",
        "if a then local x = 1 redis.log(x) elseif b then local x = 2 redis.log(x) end",
        "while a do break end",
        f"return '{'µ' * 91}'",
    ],
)
def test_what_is_no_fault(tmp_path: Path, body: str) -> None:
    text = HEADER + USES_KEYS + "redis.log(a, b, c)\n" + body
    assert problems(tmp_path, text) == []


@pytest.mark.parametrize("part", ["KEYS", "ARGV", "reply", "cost"])
def test_a_missing_part_of_the_header(tmp_path: Path, part: str) -> None:
    text = "".join(
        line
        for line in HEADER.splitlines(keepends=True)
        if not line.startswith((f"-- {part}", "--     "))
    )
    assert f"1: the header has no line `-- {part}`" in problems(tmp_path, text + BODY)


def test_a_file_opens_with_its_name(tmp_path: Path) -> None:
    expected = "1: does not begin with `-- demo: `"
    assert expected in problems(tmp_path, HEADER.replace("-- demo:", "-- other:") + BODY)
    assert expected in problems(tmp_path, "\n" + HEADER + BODY)


def test_a_file_that_no_script_binds(tmp_path: Path) -> None:
    text = HEADER.replace("demo", "stray") + BODY
    assert "1: no Script of reactions.redis.scripts.ALL has this name" in problems(
        tmp_path, text, name="stray"
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (BODY, []),
        ("for i = 1, 3 do redis.log(KEYS[i]) end", []),
        ("for i = 1, #KEYS do redis.log(KEYS[i]) end", []),
        ("for _, key in ipairs(KEYS) do redis.log(key) end", []),
        ("return redis.call('DEL', unpack(KEYS))", []),
        (
            "for i = 1, 3 do redis.log(KEYS[i]) end\nfor i = 1, 9 do redis.log(ARGV[i]) end",
            [],
        ),
        ("return {KEYS[1], KEYS[3]}", ["1: KEYS 2 is only in the header"]),
        ("for i = 1, 4 do redis.log(KEYS[i]) end", ["1: KEYS 4 is only in the body"]),
        (
            "return {KEYS[1], KEYS[2], KEYS[3], KEYS[4]}",
            ["1: KEYS 4 is only in the body"],
        ),
        (
            "local i = 2\nreturn {KEYS[1], KEYS[2], KEYS[3], KEYS[i]}",
            ["10: KEYS[...] is neither a number nor a loop's variable"],
        ),
    ],
)
def test_keys_of_header_and_body(tmp_path: Path, body: str, expected: list[str]) -> None:
    assert problems(tmp_path, HEADER + body) == expected


@pytest.mark.parametrize("keys", [2, 4])
def test_keys_of_header_and_python(tmp_path: Path, keys: int) -> None:
    assert problems(tmp_path, HEADER + BODY, keys=keys) == [
        f"1: the header lists KEYS [1, 2, 3], but reactions.redis.scripts sends {keys}"
    ]


def test_a_file_of_the_project_with_a_planted_fault(tmp_path: Path) -> None:
    """The header is read as it is written here, not only as in this module's example."""
    text = resources.lua("claim")
    path = tmp_path / "claim.lua"
    path.write_text(text.replace("3 outbox:wake", "4 outbox:wake"), "utf-8")
    found = [problem.partition("claim.lua:")[2] for problem in luacheck.check(path, {"claim": 3})]
    assert found == [
        "1: KEYS 3 is only in the body",
        "1: KEYS 4 is only in the header",
        "1: the header lists KEYS [1, 2, 4], but reactions.redis.scripts sends 3",
    ]


def include_problems(tmp_path: Path, name: str, text: str) -> list[str]:
    """Line and message of each problem of a file in ``include/``."""
    path = tmp_path / "include" / f"{name}.lua"
    path.parent.mkdir()
    path.write_text(text, "utf-8")
    return [p.partition(f"{name}.lua:")[2] for p in luacheck.check(path, {})]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("local function f(sum) return sum end\n", []),  # scripts call it
        ("local SMALL, LARGE = 1, 2\n", []),
        ("local value = 1\n", ["2: local value is never used"]),
        ("local function f(sum) end\n", ["2: local sum is never used"]),
        ("local function f() drop_buckets('x') end\n", []),  # buckets come before tiers
        ("local function f() write_user('x') end\n", ["2: write_user is not defined"]),
        ("local function f() redis.log(KEYS[1]) end\n", []),  # its scripts say what the keys are
    ],
)
def test_faults_of_an_include(tmp_path: Path, body: str, expected: list[str]) -> None:
    assert include_problems(tmp_path, "tiers", "-- tiers: what it does.\n" + body) == expected


def test_an_include_uses_only_what_every_script_puts_before_it(tmp_path: Path) -> None:
    """``settle`` has the batches before the buckets, ``react`` has no batches at all."""
    text = "-- buckets: what it does.\nlocal function f() in_batches() end\n"
    assert include_problems(tmp_path, "buckets", text) == ["2: in_batches is not defined"]


def test_an_include_that_no_script_uses(tmp_path: Path) -> None:
    assert include_problems(tmp_path, "stray", "-- stray: what it does.\n") == [
        "1: no Script of reactions.redis.scripts.ALL includes this file"
    ]


def test_the_project_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert luacheck.main() == 0
    files = {script.name for script in scripts.ALL}
    includes = {f"include/{part}" for script in scripts.ALL for part in script.include}
    assert len(includes) > 3
    assert capsys.readouterr().out == f"{len(files | includes)} Lua files checked\n"


def test_problems_are_printed_and_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stray.lua").write_text("n = 1\n")
    monkeypatch.setattr(luacheck, "FOLDER", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert luacheck.main() == 1
    assert "stray.lua:1: n is assigned without a local\n" in capsys.readouterr().out

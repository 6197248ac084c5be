"""The names and codes of reaction types, through the settings that use them."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.constants import MAX_CODE
from reactions.core.errors import InvalidSettings
from reactions.core.settings import Settings
from tests.core.strategies import NAME, TYPES, relaxed

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("like", {"like": 1}),
        ("like,love,wow", {"like": 1, "love": 2, "wow": 3}),
        ("like=3,love=1", {"like": 3, "love": 1}),
        ("like,love=7,wow", {"like": 1, "love": 7, "wow": 3}),
        (" like , love = 7 ", {"like": 1, "love": 7}),
        ("+1,-1,A_b-9", {"+1": 1, "-1": 2, "A_b-9": 3}),
        ("x" * 64, {"x" * 64: 1}),
        ("thumbs up,a:b", {"thumbs up": 1, "a:b": 2}),
        ("👍,❤️,👩‍👩‍👧‍👦,🏴󠁧󠁢󠁷󠁬󠁳󠁿", {"👍": 1, "❤️": 2, "👩‍👩‍👧‍👦": 3, "🏴󠁧󠁢󠁷󠁬󠁳󠁿": 4}),
        ("e\u0301,好き", {"é": 1, "好き": 2}),
        ('{"a,b": 1, "c=d": 7}', {"a,b": 1, "c=d": 7}),
        ("like=127", {"like": 127}),
        (["like", "love=7"], {"like": 1, "love": 7}),
        (("like", "love"), {"like": 1, "love": 2}),
        ({"like": 1, "love": 127}, {"like": 1, "love": 127}),
    ],
)
def test_reaction_types(value: object, expected: dict[str, int]) -> None:
    assert Settings(reaction_types=value).reaction_types == expected


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "is not a name"),
        ("like,", "is not a name"),
        (",like", "is not a name"),
        ("x" * 65, "is not a name"),
        ("a\x00b", "is not a name"),
        ("a\nb", "is not a name"),
        ("a\u202eb", "is not a name"),
        ("\ud800", "is not a name"),
        ({" like": 1}, "is not a name"),
        ({"e\u0301": 1}, "is not a name"),
        ('{"like": "1"}', "not a number"),
        ('{"like": 1', "is not JSON"),
        ('{"a": 1, "a": 2}', "names 'a' twice"),
        ("like,like", "names 'like' twice"),
        ("like,like=2", "names 'like' twice"),
        ("like=0", "like has code 0, which is not 1 to 127"),
        ("like=128", "like has code 128, which is not 1 to 127"),
        ("like=-1", "is not a number"),
        ("like=1,love=1", "gives one code to two types"),
        ("like=2,love", "gives one code to two types"),
        ("like=one", "is not a number"),
        ("like=1.5", "is not a number"),
        ("like=1=2", "is not a number"),
        (",".join(f"t{n}" for n in range(128)), "which is not 1 to 127"),
        ({}, "names no type"),
        ([], "is not a name"),
        ({"like": 0}, "like has code 0"),
        ({"like": 128}, "like has code 128"),
        ({"like": 1, "love": 1}, "gives one code to two types"),
        ({"like": "x"}, "valid integer"),
        ({1: 1}, "valid string"),
        (7, "valid dictionary"),
        (None, "valid dictionary"),
    ],
)
def test_bad_reaction_types(value: object, why: str) -> None:
    with pytest.raises(InvalidSettings, match=r"^reaction_types") as caught:
        Settings(reaction_types=value)
    assert why in str(caught.value)


@relaxed
@given(TYPES)
def test_types_with_codes_as_text(types: dict[str, int]) -> None:
    text = ",".join(f"{name}={code}" for name, code in types.items())
    assert Settings(reaction_types=text).reaction_types == types


@relaxed
@given(st.lists(NAME, min_size=1, max_size=MAX_CODE, unique=True))
def test_bare_names_are_numbered_from_one(names: list[str]) -> None:
    expected = {name: code for code, name in enumerate(names, start=1)}
    assert Settings(reaction_types=",".join(names)).reaction_types == expected
    assert Settings(reaction_types=names).reaction_types == expected


@relaxed
@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        types = Settings(reaction_types=text).reaction_types
    except InvalidSettings:
        return
    assert types
    assert all(1 <= code <= MAX_CODE for code in types.values())
    assert len(set(types.values())) == len(types)


def test_no_type_may_have_the_name_of_a_removal() -> None:
    with pytest.raises(InvalidSettings, match="remove"):
        Settings(reaction_types="like,remove")


@relaxed
@given(st.lists(st.text(max_size=20), min_size=1, max_size=5, unique=True))
def test_types_survive_the_environment(names: list[str]) -> None:
    try:
        made = Settings(reaction_types={name: code for code, name in enumerate(names, start=1)})
    except InvalidSettings:
        return
    written = made.environment()["REACTIONS_REACTION_TYPES"]
    assert Settings(reaction_types=written).reaction_types == made.reaction_types


def test_types_that_are_not_set_are_not_passed_on() -> None:
    assert not Settings().names_types
    assert "REACTIONS_REACTION_TYPES" not in Settings().environment()
    assert not copy.copy(Settings()).names_types
    assert Settings(reaction_types="like").names_types

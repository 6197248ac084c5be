"""Each check accepts only valid arguments, and its error says what is allowed."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactions.core.constants import MAX_ID
from reactions.core.errors import InvalidArgument, ReactionsError
from reactions.core.validate import check_id, check_reaction

TYPES: Mapping[str, int] = {"like": 1, "love": 2, "wow": 7}
ALLOWED_ID = "an integer from 1 to 2^63-1"
ALLOWED_TYPE = "one of like, love, wow"
MAX_MESSAGE = 200  # characters of a message, whatever the value

relaxed = settings(deadline=None)  # the machine may be busy


class IntLike:
    """Like an integer of numpy: converts and compares like an int, but is not one."""

    def __index__(self) -> int:
        return 5

    __int__ = __index__

    def __le__(self, other: int) -> bool:
        return other >= 5

    def __ge__(self, other: int) -> bool:
        return other <= 5


class OwnInt(int):
    """A subclass may override anything."""


class Code(enum.IntEnum):
    FIVE = 5


class Kind(enum.StrEnum):
    LIKE = "like"


class Hostile:
    """Raises when it is shown or compared."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment] # unhashable


class Flood:
    def __repr__(self) -> str:
        return "x" * 10**6


NOT_IDS = [
    True,
    False,
    0,
    -1,
    2**63,
    2**64,
    10**5000,  # has more digits than Python prints
    -(10**5000),
    1.0,
    float("nan"),
    float("inf"),
    "1",
    b"1",
    "1" * 10**6,
    None,
    [],
    (1,),
    {1},
    IntLike(),
    OwnInt(5),
    Code.FIVE,
    Hostile(),
    Flood(),
]
NOT_TYPES = [
    "",
    "like ",
    "Like",
    "remove",
    "like\0",
    "like" * 10**6,
    "\ud800",
    b"like",
    1,
    True,
    None,
    1.5,
    ["like"],
    ("like",),
    {"like": 1},
    Kind.LIKE,
    Hostile(),
    Flood(),
]


def ids(values: Sequence[object]) -> list[str]:
    """Names that are the same in every process of a parallel run."""
    return [f"{type(value).__name__}-{number}" for number, value in enumerate(values)]


def check_refusal(error: InvalidArgument, argument: str, allowed: str) -> None:
    assert (error.argument, error.allowed) == (argument, allowed)
    assert str(error).startswith(f"{argument} must be {allowed}, not ")
    assert len(str(error)) <= MAX_MESSAGE
    assert str(error).isprintable()  # a line break could forge a line in a log
    assert isinstance(error, ReactionsError)
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("value", NOT_IDS, ids=ids(NOT_IDS))
def test_refused_ids(value: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_id("post_id", value)
    check_refusal(caught.value, "post_id", ALLOWED_ID)


@pytest.mark.parametrize("value", [1, 2, 100, 2**31, 2**53 + 1, MAX_ID - 1, MAX_ID])
def test_ids(value: int) -> None:
    assert check_id("user_id", value) == value


@relaxed
@given(st.integers(1, MAX_ID))
def test_the_whole_range_is_accepted(value: int) -> None:
    assert check_id("user_id", value) is value


@relaxed
@given(st.integers(max_value=0) | st.integers(min_value=MAX_ID + 1))
def test_nothing_beyond_the_range_is_accepted(value: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_id("user_id", value)
    check_refusal(caught.value, "user_id", ALLOWED_ID)


@relaxed
@given(
    st.floats() | st.text() | st.binary() | st.booleans() | st.none() | st.lists(st.integers())
    | st.complex_numbers() | st.decimals() | st.fractions()
)  # fmt: skip
def test_nothing_but_an_int_is_an_id(value: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_id("user_id", value)
    check_refusal(caught.value, "user_id", ALLOWED_ID)


@pytest.mark.parametrize(("name", "code"), TYPES.items())
def test_reactions(name: str, code: int) -> None:
    assert check_reaction(TYPES, name) == code


@pytest.mark.parametrize("value", NOT_TYPES, ids=ids(NOT_TYPES))
def test_refused_reactions(value: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_reaction(TYPES, value)
    check_refusal(caught.value, "reaction", ALLOWED_TYPE)


@relaxed
@given(st.text())
def test_only_a_configured_type_is_a_reaction(value: str) -> None:
    if value in TYPES:
        assert check_reaction(TYPES, value) == TYPES[value]
    else:
        with pytest.raises(InvalidArgument) as caught:
            check_reaction(TYPES, value)
        check_refusal(caught.value, "reaction", ALLOWED_TYPE)


def test_the_value_and_its_type_are_in_the_message() -> None:
    with pytest.raises(InvalidArgument, match=r"not '17' \(str\)$"):
        check_id("post_id", "17")
    with pytest.raises(InvalidArgument, match=r"not True \(bool\)$"):
        check_id("post_id", True)
    with pytest.raises(InvalidArgument, match=r"not a value whose repr fails \(int\)$"):
        check_id("post_id", 10**5000)

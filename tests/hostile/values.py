"""Hostile values for the arguments of functions."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from hypothesis import strategies as st


def _refuse(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("do not look at me")


class EvilInt(int):
    """A valid number, but every operation on it raises."""

    __repr__ = __str__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __hash__ = __index__ = __int__ = __bool__ = __mod__ = __format__ = _refuse


class EvilStr(str):
    """A text that hashes like "like" but raises when compared."""

    __slots__ = ()
    __eq__ = __ne__ = __len__ = __iter__ = __format__ = __getitem__ = _refuse

    def __hash__(self) -> int:
        return hash("like")

    def __repr__(self) -> str:
        return EvilStr("x" * 100)


class Liar:
    """Claims a class that it does not have, and behaves like an index and a triple."""

    def __init__(self, says: type) -> None:
        self._says = says

    @property
    def __class__(self) -> type:
        return self._says

    @__class__.setter
    def __class__(self, _: type) -> None:
        pass

    def __len__(self) -> int:
        return 3

    def __index__(self) -> int:
        return 7


class Classless:
    """Raises when its class is read."""

    __class__ = property(_refuse)


class NumberLike:
    """An index but not an int, like numpy's integers."""

    def __index__(self) -> int:
        return 5

    __int__ = __index__

    def __repr__(self) -> str:
        return "array([5,\n       5])"


class Flood:
    """Its repr floods a log, and forges a line in it."""

    def __repr__(self) -> str:
        return "\nCRITICAL forged\r\n" + "x" * 10**6


class EvilDict(dict[Any, Any]):
    def __iter__(self) -> Iterator[Any]:
        yield from (1, 2, 3)

    def keys(self) -> NoReturn:
        _refuse()


class EvilTuple(tuple[Any, ...]):
    """Claims length 3, but iterates forever."""

    __slots__ = ()

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield 1


class NotIterable:
    def __iter__(self) -> int:  # 1 is not an iterator
        return 1


class Code(enum.IntEnum):
    SEVEN = 7


class Kind(enum.StrEnum):
    LIKE = "like"


def endless(item: object = 1) -> Iterator[object]:
    while True:
        yield item


NAMELESS = type("x\n" * 10**5, (), {})
"""A class whose name would flood a log."""

DEEP: Any = []
for _ in range(5_000):
    DEEP = [DEEP]

LIARS: list[Callable[[], Any]] = [
    lambda: Liar(int),
    lambda: Liar(tuple),
    lambda: Liar(str),
    Classless,
]

# Functions, because iterators are used up. Hypothesis cannot draw these: it inspects values.
MAKERS: list[Callable[[], Any]] = [
    lambda: EvilInt(7),
    lambda: EvilStr("like"),
    *LIARS,
    NumberLike,
    Flood,
    NotIterable,
    NAMELESS,
    endless,
    lambda: endless("ab"),
    lambda: EvilDict(a=1),
    lambda: EvilTuple((1, 2, "like")),
    lambda: [EvilTuple((1, 2, "like"))],
    lambda: [(EvilInt(1), EvilInt(2), EvilStr("like"))],
    lambda: [(1, 2, "like"), (1, 2, Flood())],
    lambda: [[1, 2]],
    lambda: {(1, 2, "like"): 1},
    lambda: DEEP,
    lambda: Code.SEVEN,
    lambda: Kind.LIKE,
    lambda: "x" * 10**7,
    lambda: b"\1" * 10**6,
    lambda: bytearray(b"\1\2"),
    lambda: memoryview(b"\1\2"),
    lambda: range(10**12),
    lambda: 10**5_000,
    lambda: -(10**5_000),
    lambda: object(),
    lambda: int,
    lambda: print,
    lambda: NotImplemented,
    lambda: ...,
]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, -1, 2**63 - 1, 2**63, 2**64, -(2**63)]),
    st.floats(),
    st.complex_numbers(),
    st.decimals(),
    st.fractions(),
    st.text(),
    st.text(st.characters(categories=["Cs", "Cc", "L"]), max_size=5),
    st.sampled_from(["like", "love", "\0", "\ud800", "like\n", "Like", "remove"]),
    st.binary(max_size=20),
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.frozensets(st.integers(), max_size=3)
    ),
    max_leaves=8,
)

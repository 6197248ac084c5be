"""The names and codes of reaction types, as the settings write them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reactions.core.constants import MAX_CODE, REMOVE

DEFAULT_TYPES = "like,love,laugh,wow,sad,angry"

TYPE_NAME = re.compile(r"[A-Za-z0-9_+-]{1,32}")


def parse_types(value: str) -> dict[str, int]:
    """Parse text: ``like,love=7`` -> {"like": 1, "love": 7}.

    A name without a code takes its position, counted from 1.

    Raises:
        ValueError: a name appears twice, or a code is not a number.
    """
    types: dict[str, int] = {}
    for position, item in enumerate(value.split(","), start=1):
        name, equals, code = (part.strip() for part in item.partition("="))
        if name in types:
            raise ValueError(f"names {name!r} twice")
        if equals and not (code.isascii() and code.isdigit()):
            raise ValueError(f"gives {name!r} the code {code!r}, which is not a number")
        types[name] = int(code) if equals else position
    return types


def read_types(value: object) -> object:
    """Parse text, or a list of texts as if joined by commas; return anything else unchanged.

    Raises:
        ValueError: a name appears twice, or a code is not a number.
    """
    if isinstance(value, str):
        return parse_types(value)
    # Refuse subclasses: their iteration may never end.
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        if not all(type(name) is str for name in value):
            raise ValueError("has names that are not text")
        return parse_types(",".join(value))
    return value


def check_types(types: Mapping[str, int]) -> None:
    """Check the names and the codes.

    Raises:
        ValueError: there are no types, a name or a code is not allowed, or two share a code.
    """
    if not types:
        raise ValueError("names no type")
    for name, code in types.items():
        if name == REMOVE:
            raise ValueError(f"contains {REMOVE!r}, by which a trace ends a reaction")
        if not TYPE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a name: 1 to 32 of A-Z a-z 0-9 _ + -")
        if not 1 <= code <= MAX_CODE:
            raise ValueError(f"{name} has code {code}, which is not 1 to {MAX_CODE}")
    if len(set(types.values())) != len(types):
        raise ValueError("gives one code to two types")

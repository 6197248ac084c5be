"""Checks of every argument of the public functions, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping

from reactions.errors import InvalidArgument
from reactions.settings import MAX_ID

_ID = "an integer from 1 to 2^63-1"


def check_id(argument: str, value: object) -> int:
    """The id itself, or InvalidArgument. A bool is an int to Python, but never an id."""
    if type(value) is not int or not 1 <= value <= MAX_ID:
        raise InvalidArgument(argument, _ID, value)
    return value


def check_reaction(types: Mapping[str, int], value: object) -> int:
    """The code of a configured reaction type, or InvalidArgument with the types there are."""
    code = types.get(value) if type(value) is str else None
    if code is None:
        raise InvalidArgument("reaction", f"one of {', '.join(types)}", value)
    return code

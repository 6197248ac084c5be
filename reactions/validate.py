"""Checks of every argument of the public functions, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

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


def check_limit(value: object, most: int) -> int:
    """The limit itself, or InvalidArgument."""
    if type(value) is not int or not 1 <= value <= most:
        raise InvalidArgument("limit", f"an integer from 1 to {most}", value)
    return value


def check_posts(value: object, most: int) -> list[int]:
    """The post ids, or InvalidArgument."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise InvalidArgument("post_ids", "an iterable of post ids", value)
    posts = list(islice(value, most + 1))
    if len(posts) > most:
        raise InvalidArgument("post_ids", f"at most {most} post ids", value)
    return [check_id("post_ids", post_id) for post_id in posts]

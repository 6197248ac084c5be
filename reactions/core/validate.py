"""Checks of every argument of the public functions, before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from textwrap import shorten
from typing import Any

from reactions.core.constants import MAX_ID, MAX_REPLICAS
from reactions.core.errors import InvalidArgument

_ID = "an integer from 1 to 2^63-1"
_WRITTEN = re.compile(rb"[1-9][0-9]{0,18}")


def check_id(argument: str, value: object) -> int:
    """The id itself, or InvalidArgument. A bool is an int to Python, but never an id."""
    if type(value) is not int or not 1 <= value <= MAX_ID:
        raise InvalidArgument(argument, _ID, value)
    return value


def is_id(written: bytes) -> bool:
    """Whether Redis has an id there, as it is written: "007" would be a second name of 7."""
    return _WRITTEN.fullmatch(written) is not None and int(written) <= MAX_ID


def check_reaction(types: Mapping[str, int], value: object) -> int:
    """The code of a configured reaction type, or InvalidArgument with the types there are."""
    code = types.get(value) if type(value) is str else None
    if code is None:
        names = shorten(", ".join(types), 200, placeholder=" ...")
        raise InvalidArgument("reaction", f"one of {names}", value)
    return code


def check_replicas(value: object) -> int:
    """The number itself, or InvalidArgument."""
    if type(value) is not int or not 0 <= value <= MAX_REPLICAS:
        raise InvalidArgument("replicas", f"an integer from 0 to {MAX_REPLICAS}", value)
    return value


def check_limit(value: object, most: int) -> int:
    """The limit itself, or InvalidArgument."""
    if type(value) is not int or not 1 <= value <= most:
        raise InvalidArgument("limit", f"an integer from 1 to {most}", value)
    return value


def iterate(argument: str, allowed: str, value: object) -> Iterator[Any]:
    """Over the items, or InvalidArgument; what an iterable of the caller's raises, it raises."""
    # By the type: what an object says of its own class may be anything.
    if not issubclass(type(value), str | bytes | bytearray | memoryview):
        try:
            return iter(value)  # type: ignore[call-overload, no-any-return] # that is the question
        except TypeError:
            pass
    raise InvalidArgument(argument, allowed, value)


def check_posts(value: object, most: int) -> list[int]:
    """The post ids, or InvalidArgument."""
    posts = list(islice(iterate("post_ids", "an iterable of post ids", value), most + 1))
    if len(posts) > most:
        raise InvalidArgument("post_ids", f"at most {most} post ids", value)
    return [check_id("post_ids", post_id) for post_id in posts]

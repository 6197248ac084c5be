"""Checks of the arguments of public functions, before anything is sent.

Each check raises InvalidArgument if the value is not allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from textwrap import shorten
from typing import Any

from reactions.core.constants import MAX_ID, MAX_REPLICAS
from reactions.core.errors import InvalidArgument
from reactions.core.type_names import MAX_NAME, normal

_ID = "an integer from 1 to 2^63-1"
_WRITTEN = re.compile(rb"[1-9][0-9]{0,18}")


def check_id(argument: str, value: object) -> int:
    """Return the id. A bool is an int in Python, but not an id."""
    if type(value) is not int or not 1 <= value <= MAX_ID:
        raise InvalidArgument(argument, _ID, value)
    return value


def is_id(written: bytes) -> bool:
    """Tell whether bytes from Redis are an id. "007" is not: it would be a second name of 7."""
    if len(written) < 19:  # the common case, without a regular expression
        return written.isdigit() and written[:1] != b"0"
    return _WRITTEN.fullmatch(written) is not None and int(written) <= MAX_ID


def check_reaction(types: Mapping[str, int], value: object) -> int:
    """Return the code of a configured type; the error lists the types."""
    code = types.get(value) if type(value) is str else None
    if code is None and type(value) is str and len(value) <= MAX_NAME:
        code = types.get(normal(value))
    if code is None:
        names = shorten(", ".join(types), 200, placeholder=" ...")
        raise InvalidArgument("reaction", f"one of {names}", value)
    return code


def check_replicas(value: object) -> int:
    """Return the number of replicas."""
    if type(value) is not int or not 0 <= value <= MAX_REPLICAS:
        raise InvalidArgument("replicas", f"an integer from 0 to {MAX_REPLICAS}", value)
    return value


def check_limit(value: object, highest: int) -> int:
    """Return the limit."""
    if type(value) is not int or not 1 <= value <= highest:
        raise InvalidArgument("limit", f"an integer from 1 to {highest}", value)
    return value


def iterate(argument: str, allowed: str, value: object) -> Iterator[Any]:
    """Return an iterator over the items. Errors that the caller's iterable raises pass through."""
    # Check the type, because an object can forge its ``__class__``.
    if not issubclass(type(value), str | bytes | bytearray | memoryview):
        try:
            return iter(value)  # type: ignore[call-overload, no-any-return] # may raise
        except TypeError:
            pass
    raise InvalidArgument(argument, allowed, value)


def check_posts(value: object, max_posts: int) -> list[int]:
    """Return the post ids."""
    posts = list(islice(iterate("post_ids", "an iterable of post ids", value), max_posts + 1))
    if len(posts) > max_posts:
        raise InvalidArgument("post_ids", f"at most {max_posts} post ids", value)
    if {*map(type, posts)} == {int} and min(posts) >= 1 and max(posts) <= MAX_ID:
        return posts  # the usual case, four times as fast as a check of each
    return [check_id("post_ids", post_id) for post_id in posts]

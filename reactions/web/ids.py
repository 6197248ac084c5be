"""Ids as JSON and URLs have them: strings of digits, in requests and in answers.

JavaScript's numbers are exact only up to 2^53, so a number in JSON may become the id of another
post without an error.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from reactions.core.constants import MAX_ID
from reactions.core.validate import is_id

MAX_DIGITS = len(str(MAX_ID))


def _pattern(largest: int) -> str:
    """Return a regular expression of the integers from 1 to this one, of two digits or more."""
    digits = str(largest)
    ways = [f"[1-9][0-9]{{0,{len(digits) - 2}}}"]
    for place, digit in enumerate(digits):
        lowest, below = int(place == 0), int(digit) - 1
        if below >= lowest:
            rest = len(digits) - place - 1
            smaller = str(lowest) if below == lowest else f"[{lowest}-{below}]"
            ways.append(f"{digits[:place]}{smaller}" + (f"[0-9]{{{rest}}}" if rest else ""))
    return f"^(?:{'|'.join([*ways, digits])})$"


def _read(value: object) -> int:
    """Accept one spelling of an id: not +7, 07, 7.0 or 7_0, and no number."""
    if isinstance(value, str) and len(value) <= MAX_DIGITS and is_id(value.encode()):
        return int(value)
    raise ValueError(
        'must be a string of digits without leading zeros, from "1" to "9223372036854775807"'
        " (2^63-1); a number in JSON loses digits above 2^53"
    )


_SCHEMA = {
    "type": "string",
    "pattern": _pattern(MAX_ID),
    "maxLength": MAX_DIGITS,
    "examples": ["1042"],
}

IdIn: TypeAlias = Annotated[int, BeforeValidator(_read), WithJsonSchema(_SCHEMA)]
IdOut: TypeAlias = Annotated[
    int, PlainSerializer(str, return_type=str), WithJsonSchema(_SCHEMA, mode="serialization")
]

"""The names and codes of reaction types, as the settings write them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping

from reactions.core.constants import MAX_CODE, REMOVE

DEFAULT_TYPES = "like,love,laugh,wow,sad,angry"

DEFAULT_EMOJI: Mapping[str, str] = {
    "like": "\N{THUMBS UP SIGN}",
    "love": "\N{HEAVY BLACK HEART}\N{VARIATION SELECTOR-16}",
    "laugh": "\N{FACE WITH TEARS OF JOY}",
    "wow": "\N{FACE WITH OPEN MOUTH}",
    "sad": "\N{CRYING FACE}",
    "angry": "\N{POUTING FACE}",
}
"""The emoji that a type of this name has at first."""

MAX_NAME = 64
"""Most characters of a name. A character is a code point, so an emoji may have several."""

ALLOWED = f"1 to {MAX_NAME} characters, none a control character, no space at either end"

MAX_EMOJI = 16
"""Most characters of an emoji: the longest ones of Unicode have ten, each a code point."""

_CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
_DIRECTIONS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that reorder the text around them, so that a log line could be forged."""


def is_name(name: str) -> bool:
    """Tell whether text may be the name of a type: any Unicode text, in form NFC."""
    return (
        1 <= len(name) <= MAX_NAME
        and name == name.strip()
        and unicodedata.is_normalized("NFC", name)
        and not any(unicodedata.category(c) in _CONTROLS or c in _DIRECTIONS for c in name)
    )


def emoji_of(name: str) -> str:
    """Return the emoji that a new type has: one of its own, the name if it is one, or nothing."""
    if len(name) <= MAX_EMOJI and not any(c.isalnum() or c.isascii() for c in name):
        return name
    return DEFAULT_EMOJI.get(name, "")


def normal(name: str) -> str:
    """Return the one form of a name that is written in several, such as an accent of its own."""
    return unicodedata.normalize("NFC", name)


def parse_types(value: str) -> dict[str, int]:
    """Parse text: ``like,love=7`` -> {"like": 1, "love": 7}; or JSON: ``{"a, b": 1}``.

    A name without a code takes its position, counted from 1. JSON is for names with ``,`` or ``=``.

    Raises:
        ValueError: a name appears twice, or a code is not a number.
    """
    if value.lstrip().startswith("{"):
        return _parse_json(value)
    types: dict[str, int] = {}
    for position, item in enumerate(value.split(","), start=1):
        name, equals, code = (part.strip() for part in item.partition("="))
        name = normal(name)
        if name in types:
            raise ValueError(f"names {name!r} twice")
        if equals and not (code.isascii() and code.isdigit()):
            raise ValueError(f"gives {name!r} the code {code!r}, which is not a number")
        types[name] = int(code) if equals else position
    return types


def _parse_json(value: str) -> dict[str, int]:
    try:
        pairs = json.loads(value, object_pairs_hook=lambda found: found)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from None
    types: dict[str, int] = {}
    for name, code in pairs:
        if type(code) is not int:
            raise ValueError(f"gives {name!r} a code that is not a number")
        if normal(name) in types:
            raise ValueError(f"names {name!r} twice")
        types[normal(name)] = code
    return types


def write_types(types: Mapping[str, int]) -> str:
    """Return types as text that ``parse_types`` reads."""
    if any(c in name for name in types for c in ",=") or next(iter(types), "").startswith("{"):
        return json.dumps(dict(types), ensure_ascii=False)
    return ",".join(f"{name}={code}" for name, code in types.items())


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
        if not is_name(name):
            raise ValueError(f"{name!r} is not a name: {ALLOWED}")
        if not 1 <= code <= MAX_CODE:
            raise ValueError(f"{name} has code {code}, which is not 1 to {MAX_CODE}")
    if len(set(types.values())) != len(types):
        raise ValueError("gives one code to two types")

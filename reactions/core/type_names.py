"""Names and codes of reaction types, as settings write them."""

from __future__ import annotations

import re

DEFAULT_TYPES = "like,love,laugh,wow,sad,angry"


TYPE_NAME = re.compile(r"[A-Za-z0-9_+-]{1,32}")


def _parse_types(value: str) -> dict[str, int]:
    """``like,love=7`` -> {"like": 1, "love": 7}: a bare name takes its position as its code."""
    types: dict[str, int] = {}
    for position, item in enumerate(value.split(","), start=1):
        name, equals, code = (part.strip() for part in item.partition("="))
        if name in types:
            raise ValueError(f"names {name!r} twice")
        if equals and not (code.isascii() and code.isdigit()):
            raise ValueError(f"gives {name!r} the code {code!r}, which is no number")
        types[name] = int(code) if equals else position
    return types

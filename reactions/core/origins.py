"""The origins of web pages, as the settings list them."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?")
_DEFAULT_PORT = re.compile(r"http://.*:80|https://.*:443")


def read_origins(value: object) -> tuple[str, ...]:
    """Parse text such as ``https://a.example,https://b.example``; check each origin.

    Raises:
        ValueError: one is not written as browsers write origins.
    """
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")] if value.strip() else []
    if not isinstance(value, list | tuple):  # pydantic would also read an iterator that never ends
        raise ValueError("must be text with commas, or a list of origins")  # noqa: TRY004 - for pydantic
    for origin in value:
        if not isinstance(origin, str) or not _is_origin(origin):
            shown = repr(origin) if isinstance(origin, str) else type(origin).__name__
            raise ValueError(
                f"{shown} is not an origin: write scheme://host or scheme://host:port in lower"
                " case, such as https://shop.example, without a path, a * or the default port"
            )
    return tuple(value)


def _is_origin(text: str) -> bool:
    return _ORIGIN.fullmatch(text) is not None and _DEFAULT_PORT.fullmatch(text) is None


Origins: TypeAlias = Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_origins)]
"""A setting that lists origins. In the environment, commas separate them."""

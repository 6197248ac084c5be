"""Which spaces there are, and what each sets for itself, as the settings write them.

``REACTIONS_SPACES=post,comment`` names the spaces. ``REACTIONS_SPACE_COMMENT_VIRAL_THRESHOLD=500``
sets one value of one of them. ``REACTIONS_SPACES={"comment": {"viral_threshold": 500}}`` says both
at once.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from reactions.core.constants import DEFAULT_SPACE
from reactions.core.errors import InvalidSettings

Spaces: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Space -> its own values, by the names of fields; without the default space."""

OF_A_SPACE = (
    "database_schema",
    "reaction_types",
    "cache_ttl_cold_s",
    "cache_ttl_regular_s",
    "cache_ttl_hot_s",
    "cache_ttl_viral_s",
    "cache_ttl_user_s",
    "cache_ttl_jitter",
    "viral_threshold",
    "viral_hysteresis",
    "viral_watch",
    "viral_window_s",
    "viral_horizon_s",
    "hot_rate",
    "local_cache_s",
    "tombstone_days",
)
"""The settings that a space may have for itself. It shares all others with the default space."""

MAX_SPACES = 32
"""Most spaces: each duty visits all of them, one after the other."""

NAME = r"[a-z][a-z0-9_]{0,29}"
_RESERVED = ("user", "outbox")
VARIABLE = "REACTIONS_SPACE_"
"""What the variables of spaces begin with; a name of no space and no field is refused."""


def read_spaces(value: object) -> object:
    """Parse text: ``post,comment``, or JSON: ``{"comment": {"viral_threshold": 500}}``.

    Anything else is returned unchanged.

    Raises:
        ValueError: the text is no list of names, and no JSON object of objects.
    """
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is not JSON: {error}") from None
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",")] if value.strip() else []
    if type(value) in (list, tuple):
        return {name: {} for name in _texts(value)}
    return value


def _texts(value: Any) -> Iterable[str]:  # noqa: ANN401 - checked here
    if not all(type(name) is str for name in value):
        raise ValueError("has names that are not text")
    if len(set(value)) != len(value):
        raise ValueError("names a space twice")
    return value  # type: ignore[no-any-return] # checked above


def check_spaces(value: Spaces) -> Spaces:
    """Check names and fields, and return the spaces without the default one.

    Raises:
        ValueError: a name is not allowed, or a space sets what all spaces share.
    """
    for space, own in value.items():
        if not re.fullmatch(NAME, space) or space in _RESERVED:
            raise ValueError(
                f"{space!r} is not the name of a space: a lower-case letter, then at most 29"
                f" lower-case letters, digits or _, and not {' or '.join(_RESERVED)}"
            )
        if space == DEFAULT_SPACE and own:
            raise ValueError(f"the space {DEFAULT_SPACE} has the plain settings, without its name")
        for field in own:
            if field not in OF_A_SPACE:
                raise ValueError(
                    f"the space {space} sets {field!r}; a space may set {', '.join(OF_A_SPACE)}"
                )
    found = {
        space: MappingProxyType(dict(own)) for space, own in value.items() if space != DEFAULT_SPACE
    }
    if len(found) >= MAX_SPACES:
        raise ValueError(f"has more than {MAX_SPACES} spaces")
    return MappingProxyType(found)


def write_spaces(spaces: Spaces) -> str:
    """Return spaces as text that ``read_spaces`` reads."""
    return json.dumps({space: dict(own) for space, own in spaces.items()}, default=dict)


class SpacesOfEnvironment(PydanticBaseSettingsSource):
    """Reads ``REACTIONS_SPACES`` together with the variables of each space."""

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002
        field_name: str,
    ) -> tuple[Any, str, bool]:
        """Return nothing: this source has one field, which ``__call__`` returns."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the field ``spaces`` as text, if the environment has it."""
        given = {name.upper(): value for name, value in os.environ.items()}
        own = {name: value for name, value in given.items() if name.startswith(VARIABLE)}
        named = given.get("REACTIONS_SPACES")
        if named is None and not own:
            return {}
        try:
            spaces = read_spaces(named or "")
        except ValueError:  # the field refuses it, and says why
            return {"spaces": named}
        if not isinstance(spaces, dict) or not all(isinstance(it, dict) for it in spaces.values()):
            return {"spaces": named}
        for name, value in own.items():
            space, field = _place(name.removeprefix(VARIABLE), spaces)
            spaces[space][field] = value
        return {"spaces": write_spaces(spaces)}


def _place(rest: str, spaces: Iterable[str]) -> tuple[str, str]:
    """Return the space and the field that a variable names; the longest name of a space wins."""
    for space in sorted(spaces, key=len, reverse=True):
        if rest.startswith(f"{space.upper()}_"):
            return space, rest[len(space) + 1 :].lower()
    raise InvalidSettings(
        f"{VARIABLE}{rest} is set, but REACTIONS_SPACES names no such space: name it there, or"
        " remove the variable"
    )

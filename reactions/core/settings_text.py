"""Writes settings as text, as the environment holds them."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from reactions.core.space_settings import write_spaces
from reactions.core.type_names import DEFAULT_TYPES, write_types


def written(settings: BaseSettings, leave_out: Container[str] = ()) -> dict[str, str]:
    """Return ``REACTIONS_<FIELD>`` -> text for each field that is set, but those to leave out."""
    values: dict[str, str] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is None or name in leave_out:
            continue
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        elif name == "spaces":
            value = write_spaces(value)
        elif isinstance(value, Mapping):
            value = write_types(value)
        elif isinstance(value, tuple):
            value = ",".join(value)
        values[f"REACTIONS_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
    return values


def values_of(environment: Mapping[str, str], fields: Iterable[str]) -> dict[str, str | None]:
    """Return the text of each field; the default types where the environment has none."""
    values = {name: environment.get(f"REACTIONS_{name.upper()}") for name in fields}
    return {**values, "reaction_types": values["reaction_types"] or DEFAULT_TYPES}

"""Writes settings as text, as the environment holds them."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from reactions.core.type_names import write_types


def written(settings: BaseSettings, leave_out: Container[str] = ()) -> dict[str, str]:
    """Return ``REACTIONS_<FIELD>`` -> text for each field that is set, but those to leave out."""
    values: dict[str, str] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is None or name in leave_out:
            continue
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        elif isinstance(value, Mapping):
            value = write_types(value)
        elif isinstance(value, tuple):
            value = ",".join(value)
        values[f"REACTIONS_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
    return values

"""The name of the PostgreSQL schema that holds every table of this engine."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

MAX_BYTES = 63
"""The longest identifier of PostgreSQL, which cuts a longer one without an error."""


def _check(name: str) -> str:
    if not re.fullmatch(rf"[a-z_][a-z0-9_]{{0,{MAX_BYTES - 1}}}", name) or name.startswith("pg_"):
        raise ValueError(
            f"must be an identifier of at most {MAX_BYTES} bytes: lower-case letters, digits and _,"
            " not first a digit, and not pg_"
        )
    if name == "information_schema":
        raise ValueError("must be a schema that holds tables; information_schema is PostgreSQL's")
    return name


SchemaName: TypeAlias = Annotated[str, AfterValidator(_check)]
"""An identifier that means the same with and without quotes."""

"""What goes over the wire. Ids are texts in answers: numbers of JavaScript end at 2^53."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from reactions.core.constants import MAX_ID
from reactions.core.model import Status, Tier

_DIGITS = re.compile(r"[1-9][0-9]{0,18}")


def _written(value: object) -> object:
    """One spelling of an id: not +7, 07, 7.0 or 7_0."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("must be an integer from 1 to 2^63-1, in digits")
    return value


IdIn: TypeAlias = Annotated[int, Field(ge=1, le=MAX_ID), BeforeValidator(_written)]
IdOut: TypeAlias = Annotated[int, PlainSerializer(str, return_type=str)]
Kind: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "reaction"})]
"""A reaction type; the application's OpenAPI names those that are configured."""


class _Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Wanted(BaseModel):
    """The reaction that the user gives."""

    model_config = ConfigDict(extra="forbid")

    reaction: Kind


class Outcome(_Out):
    """What a write did."""

    status: Status
    reaction: str | None = Field(description="The user's reaction from now on.")
    previous: str | None = Field(description="The one before, where that is known.")
    version: int | None = Field(description="µs since 1970, rising; null where nothing changed.")


class Shown(_Out):
    """The counts of a post, as everyone sees them."""

    post_id: IdOut
    counts: dict[str, int] = Field(description="By type; every configured type is there.")
    total: int
    tier: Tier


class Summary(Shown):
    """What a feed shows of a post."""

    reaction: str | None = Field(description="The user's own.")


class Feed(_Out):
    """In the order of the question."""

    items: list[Summary]


class Change(_Out):
    """The data of one event of a stream: full values of the posts that changed."""

    items: list[Shown]


class Reactor(_Out):
    """Who reacted, and how."""

    user_id: IdOut
    reaction: str


class Reactors(_Out):
    """Newest first."""

    items: list[Reactor]
    cursor: str | None = Field(description="For the next page; null after the last one.")


class Recent(_Out):
    """Newest first."""

    items: list[Reactor]


class Reacted(_Out):
    """One of the user's reactions."""

    post_id: IdOut
    reaction: str
    version: int = Field(description="When, µs since 1970.")


class History(_Out):
    """Newest first."""

    items: list[Reacted]
    cursor: str | None = Field(description="For the next page; null after the last one.")


class Uniques(_Out):
    """How many users ever reacted."""

    uniques: int


class Health(_Out):
    """It serves."""

    status: str = "ok"

"""The JSON of requests and answers.

Ids in answers are strings, because JavaScript's numbers are exact only up to 2^53.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from reactions.core.constants import MAX_ID
from reactions.core.model import Status, Tier

_DIGITS = re.compile(r"[1-9][0-9]{0,18}")


def _check_spelling(value: object) -> object:
    """Accept one spelling of an id: not +7, 07, 7.0 or 7_0."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("must be an integer from 1 to 2^63-1, in digits")
    return value


IdIn: TypeAlias = Annotated[int, Field(ge=1, le=MAX_ID), BeforeValidator(_check_spelling)]
IdOut: TypeAlias = Annotated[int, PlainSerializer(str, return_type=str)]
Kind: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "reaction"})]
"""A reaction type. OpenAPI lists the configured ones."""


class _Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Wanted(BaseModel):
    """The reaction that the user wants to give."""

    model_config = ConfigDict(extra="forbid")

    reaction: Kind


class Outcome(_Out):
    """What a write did."""

    status: Status
    reaction: str | None = Field(description="The user's reaction after the write.")
    previous: str | None = Field(description="The reaction before the write, if it is known.")
    version: int | None = Field(description="µs since 1970, rising; null if nothing changed.")


class Shown(_Out):
    """The counts of a post, the same for every user."""

    post_id: IdOut
    counts: dict[str, int] = Field(description="By reaction type, with every configured type.")
    total: int
    tier: Tier


class Summary(Shown):
    """What a feed shows of a post to one user."""

    reaction: str | None = Field(description="The user's own reaction.")


class Feed(_Out):
    """The summaries, in the order of the ids in the request."""

    items: list[Summary]


class Change(_Out):
    """The data of one event of a stream: the full values of each changed post."""

    items: list[Shown]


class Reactor(_Out):
    """A user who reacted, and the reaction."""

    user_id: IdOut
    reaction: str


class Reactors(_Out):
    """A page of users who reacted, newest first."""

    items: list[Reactor]
    cursor: str | None = Field(description="Request the next page with it; null on the last page.")


class Recent(_Out):
    """The newest users who reacted, newest first."""

    items: list[Reactor]


class Reacted(_Out):
    """One of the user's reactions."""

    post_id: IdOut
    reaction: str
    version: int = Field(description="The time of the reaction, µs since 1970.")


class History(_Out):
    """A page of the user's reactions, newest first."""

    items: list[Reacted]
    cursor: str | None = Field(description="Request the next page with it; null on the last page.")


class Uniques(_Out):
    """The number of users who ever reacted."""

    uniques: int


class Health(_Out):
    """The service works."""

    status: str = "ok"

"""The JSON of requests and answers. Ids are strings, see ``ids.py``."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from reactions.core.model import Status, Tier
from reactions.web.ids import IdOut

Kind: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "reaction"})]
"""A reaction type. OpenAPI lists the types."""

Given: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "reaction-given"})]
"""A reaction type that may be given. OpenAPI lists those that are not retired."""

Micros: TypeAlias = Annotated[int, Field(json_schema_extra={"format": "int64"})]
"""A time in µs since 1970. It is below 2^53 until the year 2255."""


class _Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Wanted(BaseModel):
    """The reaction that the user wants to give."""

    model_config = ConfigDict(extra="forbid")

    reaction: Given


class Outcome(_Out):
    """What a write did."""

    status: Status
    reaction: str | None = Field(description="The user's reaction after the write.")
    previous: str | None = Field(description="The reaction before the write, if it is known.")
    version: Micros | None = Field(description="µs since 1970, rising; null if nothing changed.")


class ReactionType(_Out):
    """A reaction type, and what people see of it."""

    name: str = Field(description="What requests and answers call it.")
    label: str = Field(description="What people read.", validation_alias="shown_label")
    emoji: str | None = Field(description="What people see; null if there is none.")
    retired: bool = Field(description="It is shown and can be taken away, and not given.")

    @field_validator("emoji", mode="before")
    @classmethod
    def _or_null(cls, value: str | None) -> str | None:
        return value or None


class ReactionTypes(_Out):
    """All reaction types, in the order in which a page should offer them."""

    items: list[ReactionType]


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
    missing: list[IdOut] = Field(
        description="Posts that a store which does not answer knows; ask for them again later."
    )


class Change(_Out):
    """The data of an event of a stream: the full values of each changed post."""

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
    version: Micros = Field(description="The time of the reaction, µs since 1970.")


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

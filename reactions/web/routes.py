"""The endpoints.

``direct_routes`` answers most requests of those that are called most often without FastAPI.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from reactions.api.client import MAX_PAGE, MAX_SUMMARIES
from reactions.api.cursor import MAX_CURSOR
from reactions.core.constants import DEFAULT_SPACE, SAMPLE_SIZE
from reactions.core.errors import ReadInterrupted
from reactions.core.model import Outcome, Summary
from reactions.redis.connection import Client as RedisClient
from reactions.redis.server_role import check_primary
from reactions.web import schemas
from reactions.web.auth import User
from reactions.web.ids import IdIn
from reactions.web.problems import responses
from reactions.web.running import Running
from reactions.web.schemas import Change, Kind, ReactionTypes
from reactions.web.spaces import Spaces
from reactions.web.stream import MAX_STREAM_POSTS, Hub, Listener

log = logging.getLogger(__name__)

READ = responses(401, 422, 500, 503)
WRITE = responses(401, 403, 410, 422, 429, 500, 503)

router = APIRouter()
health = APIRouter(tags=["health"])


async def _spaces(request: Request) -> Spaces:
    return request.app.state.spaces  # type: ignore[no-any-return] # `state` holds any type


def _space(request: Request) -> str:
    """The space that the path names, by default that of the plain paths."""
    return str(request.path_params.get("space", DEFAULT_SPACE))


async def _running(request: Request, spaces: Annotated[Spaces, Depends(_spaces)]) -> Running:
    return spaces.running(_space(request))


async def _readiness(request: Request) -> RedisClient:
    return request.app.state.readiness  # type: ignore[no-any-return] # `state` holds any type


async def _hub(request: Request, spaces: Annotated[Spaces, Depends(_spaces)]) -> Hub:
    return spaces.hub(_space(request))


Streams = Annotated[Hub, Depends(_hub)]
Ways = Annotated[Running, Depends(_running)]
Cursor = Annotated[
    str | None,
    Query(
        max_length=MAX_CURSOR,
        description="The cursor that the previous page returned.",
        json_schema_extra={"format": "cursor"},
    ),
]
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE)]


@router.put(
    "/posts/{post_id}/reaction", operation_id="react", responses=WRITE | responses(400, 413)
)
async def react(post_id: IdIn, wanted: schemas.Wanted, user: User, ways: Ways) -> schemas.Outcome:
    """Set the user's reaction to a post. It replaces an earlier one."""
    return schemas.Outcome.model_validate(await write(ways, user, post_id, wanted.reaction))


@router.delete("/posts/{post_id}/reaction", operation_id="unreact", responses=WRITE)
async def unreact(post_id: IdIn, user: User, ways: Ways) -> schemas.Outcome:
    """Remove the user's reaction from a post. It is safe to repeat the call."""
    return schemas.Outcome.model_validate(await write(ways, user, post_id, None))


async def write(ways: Running, user: int, post_id: int, reaction: str | None) -> Outcome:
    """Count a write, and set a reaction; None removes it.

    Raises:
        Refusal: the user writes too often.
        ReactionsError: what the library says.
    """

    def work() -> Outcome:
        ways.limiter.pass_or_refuse(user)
        if reaction is None:
            return ways.client.unreact(user, post_id)
        return ways.client.react(user, post_id, reaction)

    return await ways.run(work)


@router.get("/types", operation_id="listTypes", responses=responses(401, 500, 503))
async def types(ways: Ways) -> schemas.ReactionTypes:
    """List the reaction types with the label and the emoji that people see."""
    return schemas.ReactionTypes.model_validate({"items": await ways.run(ways.client.types)})


@router.get("/summaries", operation_id="getSummaries", responses=READ)
async def summaries(
    post_id: Annotated[list[IdIn], Query(min_length=1, max_length=MAX_SUMMARIES)],
    user: User,
    ways: Ways,
) -> schemas.Feed:
    """Return what a feed shows of each post: counts, total, tier and the user's own reaction.

    If a store knows some of the posts and does not answer, their ids are in `missing`.
    """
    items, missing = await feed(ways, user, post_id)
    return schemas.Feed.model_validate({"items": items, "missing": missing})


async def feed(
    ways: Running, user: int, post_ids: Sequence[int]
) -> tuple[Sequence[Summary], Sequence[int]]:
    """Return the summaries of posts, and the posts that only a store knows that does not answer.

    Raises:
        ReactionsError: what the library says; also when no post is known.
    """
    try:
        return await ways.run(lambda: ways.client.summaries(post_ids, user)), ()
    except ReadInterrupted as error:
        items = [summary for summary in error.summaries if summary is not None]
        if not items:
            raise
        log.warning("a feed is answered in part: %s", error)
        pairs = zip(post_ids, error.summaries, strict=True)
        return items, list(dict.fromkeys(post for post, summary in pairs if summary is None))


@router.get("/posts/{post_id}/reactors", operation_id="listReactors", responses=READ)
async def reactors(
    post_id: IdIn,
    ways: Ways,
    reaction: Annotated[Kind | None, Query()] = None,
    limit: PageSize = 50,
    cursor: Cursor = None,
) -> schemas.Reactors:
    """List who reacted to a post, newest first. With `reaction`, list only this type."""
    page = await ways.run(lambda: ways.client.reactors(post_id, reaction, limit, cursor))
    return schemas.Reactors.model_validate(page)


@router.get("/posts/{post_id}/recent", operation_id="listRecent", responses=READ)
async def recent(
    post_id: IdIn, ways: Ways, limit: Annotated[int, Query(ge=1, le=SAMPLE_SIZE)] = 20
) -> schemas.Recent:
    """List the newest who reacted to a post. On a viral post this costs one round trip."""
    found = await ways.run(lambda: ways.client.recent(post_id, limit))
    return schemas.Recent.model_validate({"items": found})


@router.get("/posts/{post_id}/uniques", operation_id="countUniques", responses=READ)
async def uniques(post_id: IdIn, ways: Ways) -> schemas.Uniques:
    """Count the users who ever reacted to a post. On a viral post, estimate it to about 0.8 %."""
    return schemas.Uniques(uniques=await ways.run(lambda: ways.client.uniques(post_id)))


@router.get("/users/me/history", operation_id="listHistory", responses=READ)
async def history(
    user: User, ways: Ways, limit: PageSize = 50, cursor: Cursor = None
) -> schemas.History:
    """List the user's reactions, newest first. The list may lack what is not in PostgreSQL yet."""
    page = await ways.run(lambda: ways.client.history(user, limit, cursor))
    return schemas.History.model_validate(page)


async def _joined(
    post_id: Annotated[list[IdIn], Query(min_length=1, max_length=MAX_STREAM_POSTS)],
    user: User,
    hub: Streams,
) -> AsyncIterator[Listener]:
    """Join before the response starts, so that a refusal is a problem and not a broken stream."""
    listener = await hub.join(user, post_id)
    try:
        yield listener
    finally:
        hub.leave(listener)


@router.get(
    "/stream",
    operation_id="streamCounts",
    response_class=EventSourceResponse,
    responses=responses(401, 422, 429, 503),
)
async def stream(
    listener: Annotated[Listener, Depends(_joined)],
    hub: Streams,
    beats: Annotated[bool, Query(description="Send an event `beat` twice a second.")] = False,
    types: Annotated[bool, Query(description="Send the reaction types as events `types`.")] = False,
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Send server-sent events: first the values of all posts, then those of each changed post.

    There are at most four events a second. A client that sends the current `Last-Event-ID` gets no
    first event. With `beats`, an event named `beat` comes twice a second while nothing changes. A
    client that hears none knows that its values may be old, because there is none while a store
    fails. With `types`, an event named `types` has the answer of `GET /v1/types`: at first, and
    within about a second when a type is new, renamed, retired or described anew. After 15 s without
    an event, a comment keeps the connection open. The stream ends after 15 minutes; then the client
    connects again.
    """
    async for name, event_id, items in hub.listen(listener, last_event_id, beats, types):
        shape = ReactionTypes if name == "types" else Change
        data = shape.model_validate({"items": items})
        yield ServerSentEvent(event=name, data=data, id=event_id)


@health.get("/healthz", operation_id="checkHealth")
async def healthz() -> schemas.Health:
    """Answer that the process serves."""
    return schemas.Health()


@health.get("/readyz", operation_id="checkReady", responses=responses(500, 503))
def readyz(readiness: Annotated[RedisClient, Depends(_readiness)]) -> schemas.Health:
    """Check that Redis answers, and is no replica.

    Without PostgreSQL the service still accepts reactions.
    """
    check_primary(readiness)
    return schemas.Health()

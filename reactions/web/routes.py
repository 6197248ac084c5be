"""The endpoints. Plain functions: the library is synchronous, they run in the thread pool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from reactions.api.client import MAX_PAGE, MAX_SUMMARIES, Reactions
from reactions.api.cursor import LONGEST
from reactions.core.constants import SAMPLE_SIZE
from reactions.web import schemas
from reactions.web.auth import User
from reactions.web.problems import responses
from reactions.web.rate_limit import RateLimiter
from reactions.web.schemas import Change, IdIn, Kind
from reactions.web.stream import MAX_STREAM_POSTS, Hub, Listener

READ = responses(401, 422, 500, 503)
WRITE = responses(401, 410, 422, 429, 500, 503)

router = APIRouter()
health = APIRouter(tags=["health"])


async def _client(request: Request) -> Reactions:
    return request.app.state.client  # type: ignore[no-any-return] # a bag of anything


async def _limiter(request: Request) -> RateLimiter:
    return request.app.state.limiter  # type: ignore[no-any-return] # a bag of anything


async def _hub(request: Request) -> Hub:
    return request.app.state.hub  # type: ignore[no-any-return] # a bag of anything


Streams = Annotated[Hub, Depends(_hub)]
Client = Annotated[Reactions, Depends(_client)]
Limit = Annotated[RateLimiter, Depends(_limiter)]
Cursor = Annotated[
    str | None,
    Query(
        max_length=LONGEST,
        description="Of the page before.",
        json_schema_extra={"format": "cursor"},
    ),
]
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE)]


@router.put("/posts/{post_id}/reaction", responses=WRITE | responses(400, 413))
def react(
    post_id: IdIn, wanted: schemas.Wanted, user: User, client: Client, limit: Limit
) -> schemas.Outcome:
    """Give a post the user's reaction, in place of an earlier one."""
    limit.pass_or_refuse(user)
    return schemas.Outcome.model_validate(client.react(user, post_id, wanted.reaction))


@router.delete("/posts/{post_id}/reaction", responses=WRITE)
def unreact(post_id: IdIn, user: User, client: Client, limit: Limit) -> schemas.Outcome:
    """Take the user's reaction off a post. Calling again is safe."""
    limit.pass_or_refuse(user)
    return schemas.Outcome.model_validate(client.unreact(user, post_id))


@router.get("/summaries", responses=READ)
def summaries(
    post_id: Annotated[list[IdIn], Query(min_length=1, max_length=MAX_SUMMARIES)],
    user: User,
    client: Client,
) -> schemas.Feed:
    """What a feed shows: counts, total, tier and the user's own reaction of each post."""
    return schemas.Feed.model_validate({"items": client.summaries(post_id, user)})


@router.get("/posts/{post_id}/reactors", responses=READ)
def reactors(
    post_id: IdIn,
    client: Client,
    reaction: Annotated[Kind | None, Query()] = None,
    limit: PageSize = 50,
    cursor: Cursor = None,
) -> schemas.Reactors:
    """Who reacted on a post, newest first; with `reaction`, who with this type."""
    return schemas.Reactors.model_validate(client.reactors(post_id, reaction, limit, cursor))


@router.get("/posts/{post_id}/recent", responses=READ)
def recent(
    post_id: IdIn, client: Client, limit: Annotated[int, Query(ge=1, le=SAMPLE_SIZE)] = 20
) -> schemas.Recent:
    """The newest who reacted on a post: one round trip on a viral one."""
    return schemas.Recent.model_validate({"items": client.recent(post_id, limit)})


@router.get("/posts/{post_id}/uniques", responses=READ)
def uniques(post_id: IdIn, client: Client) -> schemas.Uniques:
    """How many users ever reacted on a post; of a viral one an estimate, to about 0.8 %."""
    return schemas.Uniques(uniques=client.uniques(post_id))


@router.get("/users/me/history", responses=READ)
def history(
    user: User, client: Client, limit: PageSize = 50, cursor: Cursor = None
) -> schemas.History:
    """What the user reacted on, newest first; at most a batch behind."""
    return schemas.History.model_validate(client.history(user, limit, cursor))


async def _joined(
    post_id: Annotated[list[IdIn], Query(min_length=1, max_length=MAX_STREAM_POSTS)],
    user: User,
    hub: Streams,
) -> AsyncIterator[Listener]:
    """Ahead of the answer, so that what is refused is a problem, not a broken stream."""
    listener = await hub.join(user, post_id)
    try:
        yield listener
    finally:
        hub.leave(listener)


@router.get("/stream", response_class=EventSourceResponse, responses=responses(401, 422, 429, 503))
async def stream(
    listener: Annotated[Listener, Depends(_joined)],
    hub: Streams,
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: first the values of all posts, then of those that change, in full.

    At most four a second. With the `Last-Event-ID` of the present values, the first is left out.
    A comment comes where nothing else does for 15 s. It ends after 15 minutes: come again.
    """
    async for event_id, fresh in hub.listen(listener, last_event_id):
        yield ServerSentEvent(data=Change.model_validate({"items": fresh}), id=event_id)


@health.get("/healthz")
async def healthz() -> schemas.Health:
    """The process serves."""
    return schemas.Health()


@health.get("/readyz", responses=responses(500, 503))
def readyz(limit: Limit) -> schemas.Health:
    """Redis answers. Without PostgreSQL the service is ready still: reactions are taken."""
    limit.check_ready()
    return schemas.Health()

"""Reactions in FastAPI: ``uvicorn examples.fastapi_app:app``.

The views await the asynchronous client. Ids are strings in JSON, because JavaScript's numbers are
exact only up to 2^53.
"""

from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse
from pydantic import WithJsonSchema

import reactions
from reactions.aio import Reactions

client = Reactions()  # configured by the environment; it connects at the first call


@asynccontextmanager
async def lifespan(_app: FastAPI):
    yield
    await client.close()


app = FastAPI(lifespan=lifespan)


def user_id(x_user: Annotated[int, Header()]) -> int:
    """Put your own authentication here."""
    return x_user


User = Annotated[int, Depends(user_id)]
Id = Annotated[int, WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,18}$"})]


@app.exception_handler(reactions.InvalidArgument)
def invalid(_request: Request, error: reactions.InvalidArgument):
    return JSONResponse({"detail": str(error)}, 422)


@app.exception_handler(reactions.PostDeleted)
def deleted(_request: Request, error: reactions.PostDeleted):
    return JSONResponse({"detail": str(error)}, 410)


@app.exception_handler(reactions.ReactionsUnavailable)
def unavailable(_request: Request, _error: reactions.ReactionsUnavailable):
    return JSONResponse({"detail": "try again"}, 503, {"Retry-After": "1"})


@app.put("/posts/{post_id}/reaction")
async def react(post_id: Id, reaction: str, user: User):
    return await client.react(user, post_id, reaction)


@app.delete("/posts/{post_id}/reaction")
async def unreact(post_id: Id, user: User):
    return await client.unreact(user, post_id)


@app.get("/feed")
async def feed(post: Annotated[list[Id], Query()], user: User):
    found = await client.summaries(post, user)
    return [asdict(one) | {"post_id": str(one.post_id)} for one in found]

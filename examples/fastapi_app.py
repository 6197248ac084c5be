"""Reactions in FastAPI: ``uvicorn examples.fastapi_app:app``.

The views are plain ``def``: the library blocks, so FastAPI runs them in threads. Ids are strings in
JSON, because JavaScript's numbers are exact only up to 2^53.
"""

from dataclasses import asdict
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse
from pydantic import WithJsonSchema

import reactions

app = FastAPI()


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
def react(post_id: Id, reaction: str, user: User):
    return reactions.react(user, post_id, reaction)


@app.delete("/posts/{post_id}/reaction")
def unreact(post_id: Id, user: User):
    return reactions.unreact(user, post_id)


@app.get("/feed")
def feed(post: Annotated[list[Id], Query()], user: User):
    found = reactions.summaries(post, user)
    return [asdict(one) | {"post_id": str(one.post_id)} for one in found]

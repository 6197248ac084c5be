"""Reactions in FastAPI: ``uvicorn examples.fastapi_app:app``. Plain ``def``: the library blocks."""

from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Query

import reactions

app = FastAPI()


def user_id(x_user: Annotated[int, Header()]) -> int:
    """Your own authentication goes here."""
    return x_user


User = Annotated[int, Depends(user_id)]


@app.put("/posts/{post_id}/reaction")
def react(post_id: int, reaction: str, user: User):
    try:
        return reactions.react(user, post_id, reaction)
    except reactions.InvalidArgument as error:
        raise HTTPException(422, str(error)) from error
    except reactions.ReactionsUnavailable as error:
        raise HTTPException(503, "try again", {"Retry-After": "1"}) from error


@app.delete("/posts/{post_id}/reaction")
def unreact(post_id: int, user: User):
    return reactions.unreact(user, post_id)


@app.get("/feed")
def feed(post: Annotated[list[int], Query()], user: User):
    return reactions.summaries(post, user)

"""Reactions in Flask: ``flask --app examples.flask_app run``.

Ids are strings in JSON, because JavaScript's numbers are exact only up to 2^53.
"""

from dataclasses import asdict

from flask import Flask, request

import reactions

app = Flask(__name__)


def user_id() -> int:
    """Put your own authentication here."""
    return int(request.headers["X-User"])


@app.errorhandler(reactions.InvalidArgument)
def invalid(error: reactions.InvalidArgument):
    return {"detail": str(error)}, 422


@app.errorhandler(reactions.PostDeleted)
def deleted(error: reactions.PostDeleted):
    return {"detail": str(error)}, 410


@app.errorhandler(reactions.ReactionsUnavailable)
def unavailable(_error: reactions.ReactionsUnavailable):
    return {"detail": "try again"}, 503, {"Retry-After": "1"}


@app.put("/posts/<int:post_id>/reaction")
def react(post_id: int):
    return asdict(reactions.react(user_id(), post_id, request.args["reaction"]))


@app.delete("/posts/<int:post_id>/reaction")
def unreact(post_id: int):
    return asdict(reactions.unreact(user_id(), post_id))


@app.get("/feed")
def feed():
    posts = request.args.getlist("post", type=int)
    found = reactions.summaries(posts, user_id())
    return [asdict(one) | {"post_id": str(one.post_id)} for one in found]

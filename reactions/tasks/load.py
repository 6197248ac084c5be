"""The task `load`: fill the caches of posts that a read found missing."""

from __future__ import annotations

from reactions.api.relay import MAX_WAITING_LOADS
from reactions.core.celery_app import LOAD
from reactions.core.constants import MAX_ID
from reactions.core.errors import InvalidArgument
from reactions.tasks.app import app, worker


@app.task(name=LOAD)
def load(posts: list[int]) -> None:
    """Load these posts. Safe when repeated, late or forged: it only caches what PostgreSQL has.

    Raises:
        InvalidArgument: ``posts`` is not a list of at most ``MAX_WAITING_LOADS`` post ids.
    """
    worker().loader.load(_check_posts(posts))


def _check_posts(posts: object) -> list[int]:
    if (
        not isinstance(posts, list)
        or len(posts) > MAX_WAITING_LOADS
        or not all(type(post) is int and 1 <= post <= MAX_ID for post in posts)
    ):
        raise InvalidArgument("posts", f"a list of at most {MAX_WAITING_LOADS} post ids", posts)
    return list(dict.fromkeys(posts))

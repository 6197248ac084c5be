"""The load task: cache what the tier of some posts is to have, as reads ask for it."""

from __future__ import annotations

from reactions.api.relay import MAX_WAITING_LOADS
from reactions.core.celery_app import LOAD
from reactions.core.constants import MAX_ID
from reactions.core.errors import InvalidArgument
from reactions.tasks.app import app, loader


@app.task(name=LOAD)
def load(posts: list[int]) -> None:
    """Cache these posts. Harmless twice, late or forged: the fence refuses what is not true."""
    loader().load(_check_posts(posts))


def _check_posts(posts: object) -> list[int]:
    if (
        not isinstance(posts, list)
        or len(posts) > MAX_WAITING_LOADS
        or not all(type(post) is int and 1 <= post <= MAX_ID for post in posts)
    ):
        raise InvalidArgument("posts", f"a list of at most {MAX_WAITING_LOADS} post ids", posts)
    return list(dict.fromkeys(posts))

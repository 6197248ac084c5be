"""The task `load`: fill the caches of posts and users that a read found missing."""

from __future__ import annotations

from reactions.api.relay import MAX_WAITING_LOADS
from reactions.core.celery_app import LOAD
from reactions.core.constants import DEFAULT_SPACE, MAX_ID
from reactions.core.errors import InvalidArgument
from reactions.tasks.app import app, worker


@app.task(shared=False, name=LOAD)
def load(posts: list[int], users: list[int] | None = None, space: str = DEFAULT_SPACE) -> None:
    """Load these posts and users of a space.

    Safe when repeated, late or forged: it caches what is true.

    Raises:
        InvalidArgument: ``posts`` or ``users`` is not a list of at most ``MAX_WAITING_LOADS`` ids,
            or there is no such space.
    """
    wanted = _check_ids("posts", posts)
    readers = _check_ids("users", [] if users is None else users)
    own = worker(space)
    own.loader.load(wanted)
    own.user_loader.load(readers)


def _check_ids(argument: str, ids: object) -> list[int]:
    if (
        not isinstance(ids, list)
        or len(ids) > MAX_WAITING_LOADS
        or not all(type(number) is int and 1 <= number <= MAX_ID for number in ids)
    ):
        raise InvalidArgument(argument, f"a list of at most {MAX_WAITING_LOADS} ids", ids)
    return list(dict.fromkeys(ids))

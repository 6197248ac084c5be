"""The authenticator of the demo: it believes whatever user id a request names. Never deploy it."""

from __future__ import annotations

import logging
from typing import Annotated

from fastapi import Security
from fastapi.security import APIKeyCookie, APIKeyHeader

from reactions.core.validate import is_id

COOKIE = "reactions_user"
HEADER = "X-Reactions-User"

logging.getLogger(__name__).critical("the demo's authenticator is in use: it believes everyone")

_cookie = APIKeyCookie(name=COOKIE, auto_error=False)
_header = APIKeyHeader(name=HEADER, auto_error=False)


async def chosen_user(
    header: Annotated[str | None, Security(_header)],
    cookie: Annotated[str | None, Security(_cookie)],
) -> int | None:
    """Return the user id in the header, or else in the cookie; None if it is not an id."""
    for text in (header, cookie):
        if text is not None:
            return int(text) if is_id(text.encode()) else None
    return None

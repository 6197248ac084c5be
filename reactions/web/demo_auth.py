"""The authenticator of the demo: everyone is who they say they are. For nothing else."""

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
    """The user that the header names, else the cookie; None where neither names an id."""
    for said in (header, cookie):
        if said is not None:
            return int(said) if is_id(said.encode()) else None
    return None

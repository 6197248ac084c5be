"""Authentication: the deployment provides a FastAPI dependency that returns the user's id."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pkgutil import resolve_name
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from reactions.core.constants import MAX_ID
from reactions.core.errors import InvalidSettings
from reactions.core.settings import Settings
from reactions.web.problems import unauthenticated

Authenticator = Callable[..., Any]
"""A dependency such as ``def user_of(request: Request) -> int | None``. None means that nobody is
signed in. It may be ``async``, and take the parameters that any endpoint of FastAPI may take;
OpenAPI lists a security scheme among them."""


def load(settings: Settings) -> Authenticator:
    """Import the configured authenticator.

    Raises:
        InvalidSettings: none is configured, or it cannot be imported, or it is not a function.
    """
    name = settings.web_authenticator
    if name is None:
        raise InvalidSettings(
            "web_authenticator: the service needs an authenticator: set"
            " REACTIONS_WEB_AUTHENTICATOR=module:function, a function that takes the request"
            " and returns the user's id, or None if nobody is signed in"
        )
    try:
        found = resolve_name(name)
    except (ImportError, AttributeError) as error:
        raise InvalidSettings(f"web_authenticator: {name} cannot be imported: {error}") from error
    if not callable(found):
        raise InvalidSettings(f"web_authenticator: {name} is not a function")
    return found  # type: ignore[no-any-return] # its signature is unknown


def check_user(found: object) -> int:
    """Return the user id that an authenticator found.

    Raises:
        Refusal: it found nobody.
        TypeError: it returned something else, which is a defect.
    """
    if found is None:
        raise unauthenticated()
    if type(found) is not int or not 1 <= found <= MAX_ID:
        raise TypeError(
            f"the authenticator must return a user id or None, not a {type(found).__name__}"
        )
    return found


def signed_in(authenticate: Authenticator) -> list[Any]:
    """Return the dependencies of all routes. They store the user's id, or refuse the request.

    Raises:
        InvalidSettings: a parameter of the authenticator has no type; FastAPI would read it from
            the query.
    """
    for name, parameter in inspect.signature(authenticate).parameters.items():
        if parameter.annotation is parameter.empty:
            raise InvalidSettings(
                f"web_authenticator: its parameter {name} has no type; write request: Request"
            )

    async def check(
        request: Request,
        response: Response,
        found: object = Depends(authenticate),
    ) -> None:
        request.state.user_id = check_user(found)
        response.headers["Cache-Control"] = "no-store"  # the answer is for this user alone

    return [Depends(check), Depends(_stored_user)]


async def _stored_user(request: Request) -> int:
    # If FastAPI rejects the parameters of the authenticator, it skips `check` but runs the others.
    found = getattr(request.state, "user_id", None)
    if found is None:
        raise unauthenticated()
    return int(found)


User = Annotated[int, Depends(_stored_user)]
"""The id of the signed-in user."""

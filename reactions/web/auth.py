"""Who asks: a FastAPI dependency that the deployment brings, and nobody without one."""

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
"""A dependency: ``def user_of(request: Request) -> int | None``, None for nobody. ``async`` or not,
with parameters as any endpoint of FastAPI: a security scheme among them shows in OpenAPI."""


def load(settings: Settings) -> Authenticator:
    """The one that is configured.

    Raises:
        InvalidSettings: there is none, or it cannot be imported.
    """
    name = settings.web_authenticator
    if name is None:
        raise InvalidSettings(
            "web_authenticator: the service does not start without one: set"
            " REACTIONS_WEB_AUTHENTICATOR=module:function, a function that takes the request"
            " and returns the user's id, or None for nobody"
        )
    try:
        found = resolve_name(name)
    except (ImportError, AttributeError) as error:
        raise InvalidSettings(f"web_authenticator: {name} cannot be imported: {error}") from error
    if not callable(found):
        raise InvalidSettings(f"web_authenticator: {name} is no function")
    return found  # type: ignore[no-any-return] # callable, as far as one can see


def signed_in(authenticate: Authenticator) -> list[Any]:
    """The dependencies of all routes: note the user, or refuse the request.

    Raises:
        InvalidSettings: FastAPI would look for a parameter of it in the query.
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
        if found is None:
            raise unauthenticated()
        if type(found) is not int or not 1 <= found <= MAX_ID:
            raise TypeError(f"the authenticator returned no user id, but a {type(found).__name__}")
        request.state.user_id = found
        response.headers["Cache-Control"] = "no-store"  # it is for this user alone

    return [Depends(check), Depends(_noted)]


async def _noted(request: Request) -> int:
    # FastAPI does not call a dependency whose own parameters are refused, but goes on to others.
    found = getattr(request.state, "user_id", None)
    if found is None:
        raise unauthenticated()
    return int(found)


User = Annotated[int, Depends(_noted)]
"""The id of the user who asks."""

"""The endpoints of each space: ``/v1/spaces/{space}/items/{id}/…`` beside ``/v1/posts/{id}/…``.

They are the same functions. What the answers call a post is the item of the space.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.routing import APIRoute

from reactions.web.problems import Refusal, responses
from reactions.web.running import Running
from reactions.web.stream import Hub


class Spaces:
    """How requests of every space run, and its streams; all share one limit of streams."""

    def __init__(self, running: Running) -> None:
        streams: Counter[int] = Counter()
        self._ways = {name: running.of_space(name) for name in running.client.settings.space_names}
        self._hubs = {name: Hub(ways, streams) for name, ways in self._ways.items()}

    def running(self, name: str) -> Running:
        """Return how requests of a space run.

        Raises:
            Refusal: there is no such space.
        """
        if name not in self._ways:
            known = ", ".join(self._ways)
            raise Refusal(404, "unknown-space", f"there is no such space; use one of {known}")
        return self._ways[name]

    def hub(self, name: str) -> Hub:
        """Return the streams of a space.

        Raises:
            Refusal: there is no such space.
        """
        self.running(name)
        return self._hubs[name]


async def _named(
    request: Request,
    space: Annotated[str, Path(max_length=30, description="The space, such as `comment`.")],
) -> None:
    """Refuse an unknown space before anything else is looked at."""
    request.app.state.spaces.running(space)


def router_of(plain: APIRouter) -> APIRouter:
    """Return the same endpoints for a space that the path names."""
    found = APIRouter(prefix="/spaces/{space}", dependencies=[Depends(_named)])
    for route in plain.routes:
        if isinstance(route, APIRoute):
            found.add_api_route(
                route.path.replace("/posts/", "/items/"),
                route.endpoint,
                methods=list(route.methods or ()),
                operation_id=f"{route.operation_id}InSpace",
                responses={**route.responses, **responses(404)},
                **_same(route),
            )
    return found


def _same(route: APIRoute) -> dict[str, Any]:
    """What the copy of an endpoint has as the endpoint itself has it."""
    return {"response_class": route.response_class, "description": route.description}

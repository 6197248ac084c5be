"""The engine room's endpoints. They belong to the demo, not to the API, so OpenAPI omits them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from reactions.core.errors import ReactionsUnavailable
from reactions.web.page.burst import SIZE, Burst, State
from reactions.web.page.figures import Figures, Gauges
from reactions.web.page.worker_killer import WorkerKiller
from reactions.web.problems import Refusal


def _same_origin(request: Request) -> None:
    """Refuse requests from pages of other sites. This only guards browsers, which name the site."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    here = f"{request.url.scheme}://{request.headers.get('Host')}"
    if site != "same-origin" or request.headers.get("Origin", here) != here:
        raise Refusal(403, "foreign-page", "only the page itself may send this; use its buttons")


class BurstState(BaseModel):
    """The progress of the last burst."""

    state: State
    size: int = SIZE
    acknowledged: int = Field(description="Reactions for which react() returned.")
    durable: int | None = Field(description="Those in PostgreSQL; null if it does not answer.")


class Room(BaseModel):
    """Everything that the engine room shows."""

    figures: Figures
    burst: BurstState
    flower: str | None = Field(description="The URL of Flower; null if the stack has none.")


class Killed(BaseModel):
    """The worker process that was killed."""

    pid: int = Field(description="Its process id.")
    drained: bool = Field(description="Whether it was draining.")


class Started(BaseModel):
    """Whether a burst started. None starts while another is under way."""

    started: bool


async def _burst(request: Request) -> Burst:
    return request.app.state.burst  # type: ignore[no-any-return] # `state` holds any type


async def _gauges(request: Request) -> Gauges:
    return request.app.state.gauges  # type: ignore[no-any-return] # `state` holds any type


async def _killer(request: Request) -> WorkerKiller:
    return request.app.state.killer  # type: ignore[no-any-return] # `state` holds any type


Bursts = Annotated[Burst, Depends(_burst)]
same_origin: list[Any] = [Depends(_same_origin)]
router = APIRouter(prefix="/room", include_in_schema=False)


@router.get("")
def room(request: Request, burst: Bursts, gauges: Annotated[Gauges, Depends(_gauges)]) -> Room:
    """Return the current figures and the progress of the burst."""
    state = burst.state  # read before the numbers, so that a finished burst has its final ones
    return Room(
        figures=gauges.read(),
        burst=BurstState(state=state, acknowledged=burst.acknowledged, durable=_durable(burst)),
        flower=request.app.state.flower,
    )


def _durable(burst: Burst) -> int | None:
    try:
        return burst.durable()
    except ReactionsUnavailable:
        return None


@router.post("/burst", dependencies=same_origin)
def begin(burst: Bursts) -> Started:
    """Start a burst."""
    return Started(started=burst.start())


@router.post("/kill", dependencies=same_origin)
def kill(killer: Annotated[WorkerKiller, Depends(_killer)]) -> Killed:
    """Kill a worker process with SIGKILL."""
    found = killer.kill_one()
    if found is None:
        raise Refusal(503, "no-worker", "no worker answers; the stack is starting it again")
    return Killed(pid=found[0], drained=found[1])

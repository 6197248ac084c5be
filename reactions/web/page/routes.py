"""The engine room's endpoints. They are of the demo alone: no part of the API, not in OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from reactions.core.errors import ReactionsUnavailable
from reactions.web.page.burst import SIZE, Burst, State
from reactions.web.page.figures import Figures, Gauges
from reactions.web.page.worker_killer import WorkerKiller
from reactions.web.problems import Refusal


def _of_this_page(request: Request) -> None:
    """Refuse what another site's page sends. Browsers say where it comes from; others may lie."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    here = f"{request.url.scheme}://{request.headers.get('Host')}"
    if site != "same-origin" or request.headers.get("Origin", here) != here:
        raise Refusal(403, "foreign-page", "this is for the page itself: use its buttons")


class BurstState(BaseModel):
    """How far the last burst is."""

    state: State
    size: int = SIZE
    acknowledged: int = Field(description="react() returned from them.")
    durable: int | None = Field(description="Of these, in PostgreSQL; null: it does not answer.")


class Room(BaseModel):
    """All that the engine room shows."""

    figures: Figures
    burst: BurstState


class Killed(BaseModel):
    """What became of the wish to kill a worker process."""

    pid: int = Field(description="Of the process that is dead now.")
    drained: bool = Field(description="Whether it was in the middle of a drain.")


class Started(BaseModel):
    """Whether a burst began: none does while another is under way."""

    started: bool


async def _burst(request: Request) -> Burst:
    return request.app.state.burst  # type: ignore[no-any-return] # a bag of anything


async def _gauges(request: Request) -> Gauges:
    return request.app.state.gauges  # type: ignore[no-any-return] # a bag of anything


async def _workers(request: Request) -> WorkerKiller:
    return request.app.state.workers  # type: ignore[no-any-return] # a bag of anything


Bursts = Annotated[Burst, Depends(_burst)]
ours: list[Any] = [Depends(_of_this_page)]
router = APIRouter(prefix="/room", include_in_schema=False)


@router.get("")
def room(burst: Bursts, gauges: Annotated[Gauges, Depends(_gauges)]) -> Room:
    """The figures of now."""
    state = burst.state  # before the numbers, so that those of a settled burst are its last
    return Room(
        figures=gauges.read(),
        burst=BurstState(state=state, acknowledged=burst.acknowledged, durable=_durable(burst)),
    )


def _durable(burst: Burst) -> int | None:
    try:
        return burst.durable()
    except ReactionsUnavailable:
        return None


@router.post("/burst", dependencies=ours)
def begin(burst: Bursts) -> Started:
    """Send one."""
    return Started(started=burst.start())


@router.post("/kill", dependencies=ours)
def kill(workers: Annotated[WorkerKiller, Depends(_workers)]) -> Killed:
    """Kill a process of the worker, at once and without a warning."""
    found = workers.kill_one()
    if found is None:
        raise Refusal(503, "no-worker", "no worker answers; its supervisor starts it again")
    return Killed(pid=found[0], drained=found[1])

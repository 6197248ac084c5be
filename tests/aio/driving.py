"""Lanes to a server of the tests, used in a loop of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from reactions.aio.connecting import Connector
from reactions.aio.lane import Lane
from reactions.core.settings import Settings
from reactions.redis.wire import pack
from tests.support.waiting import patience

Answer = TypeVar("Answer")


@asynccontextmanager
async def lane_to(url: str, timeout_s: float | None = None) -> AsyncIterator[Lane]:
    """A lane to a server; by default it has patience with a busy machine."""
    settings = Settings(redis_url=url, redis_timeout_s=timeout_s or min(60.0, patience(5)))
    connector = Connector(settings, url)
    lane = Lane(connector.make, connector.address, connector.timeout_s)
    try:
        yield lane
    finally:
        await lane.close()


def ask(lane: Lane, *words: str) -> asyncio.Future[list[Any]]:
    """Submit one command."""
    return lane.submit(pack(words), 1)


def in_loop(main: Callable[[], Awaitable[Answer]]) -> Answer:
    """Run a test in a loop. It fails if a task of it is left."""

    async def run() -> Answer:
        answer = await main()
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not [task for task in left if not task.cancelling()]
        return answer

    return asyncio.run(run())


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition without blocking the loop."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience(20)
    while not condition():
        assert loop.time() < end, f"in vain: {what}"
        await asyncio.sleep(0.005)

"""``Greenlets``: code that waits runs without blocking the loop, and ends when its caller does."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from reactions.aio.greenlets import MAX_IDLE, Greenlets, wait

NAME: ContextVar[str] = ContextVar("NAME", default="nobody")


async def later(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def failing() -> int:
    await asyncio.sleep(0)
    raise ValueError("of the awaitable")


def test_calls_wait_at_the_same_time() -> None:
    async def main() -> None:
        greenlets = Greenlets()
        gate = asyncio.get_running_loop().create_future()
        begun = []

        def call(number: int) -> int:
            begun.append(number)
            wait(gate)
            return wait(later(number)) + wait(later(1))

        calls = [asyncio.create_task(greenlets.run(lambda n=n: call(n))) for n in range(200)]  # type: ignore[misc]
        await asyncio.sleep(0)
        assert len(begun) == 200
        gate.set_result(None)
        assert await asyncio.gather(*calls) == list(range(1, 201))
        assert len(greenlets._idle) == MAX_IDLE
        assert await greenlets.run(lambda: 7) == 7  # one that was used before

    asyncio.run(main())


def test_errors_go_to_the_code_that_waits_and_to_the_caller() -> None:
    async def main() -> None:
        greenlets = Greenlets()

        def call() -> str:
            with pytest.raises(ValueError, match="of the awaitable"):
                wait(failing())
            raise KeyError("of the code")

        for _ in range(3):
            with pytest.raises(KeyError, match="of the code"):
                await greenlets.run(call)
        assert await greenlets.run(lambda: wait(later(1))) == 1

    asyncio.run(main())


def test_a_cancelled_caller_unwinds_the_code() -> None:
    async def main() -> None:
        greenlets = Greenlets()
        seen: list[str] = []

        def call() -> None:
            try:
                wait(asyncio.sleep(3600))
            finally:
                seen.append("unwound")

        task = asyncio.create_task(greenlets.run(call))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == ["unwound"]
        assert await greenlets.run(lambda: wait(later(1))) == 1

    asyncio.run(main())


def test_the_code_sees_the_context_of_its_caller() -> None:
    """So spans of OpenTelemetry are children of the span in which the call is awaited."""

    async def main() -> None:
        greenlets = Greenlets()

        def call() -> str:
            wait(later(1))
            return NAME.get()

        async def of(name: str) -> str:
            NAME.set(name)
            return await greenlets.run(call)

        names = [f"caller {number}" for number in range(5)]
        assert await asyncio.gather(*map(of, names)) == names
        assert await greenlets.run(call) == "nobody"

    asyncio.run(main())

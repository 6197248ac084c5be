"""``Threads``: queries block a thread and no loop; misses share one; what waits is bounded."""

from __future__ import annotations

import asyncio
import threading

import pytest

import reactions.aio
from benchmarks.support.statements import statements
from reactions.aio import threads as module
from reactions.aio.greenlets import Greenlets
from reactions.aio.threads import Threads
from reactions.api.single_flight import SingleFlight
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from tests.aio.driving import until
from tests.support.engine import Engine
from tests.support.reading import react
from tests.support.waiting import patience

POST = 1042


def test_misses_of_a_cold_post_at_the_same_time_are_one_query(
    engine: Engine, settings: Settings
) -> None:
    react(engine, POST, range(1, 6))
    engine.drain()
    engine.cache_install.drop(POST)

    async def main() -> None:
        async with reactions.aio.Reactions(settings) as client:
            await client.counts(POST + 1)  # makes the read path
            made = client.engine._reads._own()
            assert made is not None
            with statements(made.database.engine) as seen:
                found = await asyncio.gather(*(client.counts(POST) for _ in range(16)))
            assert [counts["like"] for counts in found] == [5] * 16
            assert len(seen) == 1

    asyncio.run(main())


def test_a_cancelled_reader_fails_nobody_who_waits_for_the_same_post() -> None:
    async def main() -> None:
        greenlets, pool = Greenlets(), Threads("postgresql", 2, patience(20))
        flight: SingleFlight[int, int] = SingleFlight(pool)
        gate, asked = threading.Event(), list[list[int]]()

        def query(keys: list[int]) -> dict[int, int]:
            asked.append(keys)
            pool.run(lambda: gate.wait(patience(20)))
            return dict.fromkeys(keys, 7)

        def load() -> dict[int, int]:
            return flight.load([1], query, patience(20))

        first = asyncio.create_task(greenlets.run(load))
        await until(lambda: bool(asked), "the first query")
        others = [asyncio.create_task(greenlets.run(load)) for _ in range(3)]
        await until(lambda: len(asked) == 4, "the others to join")
        assert asked[1:] == [[], [], []]
        first.cancel()
        gate.set()
        assert await asyncio.gather(*others) == [{1: 7}] * 3
        # One of them loads it, or more, if that ends before the next one sees the cancellation.
        assert 2 <= len([keys for keys in asked if keys]) <= 4
        pool.close()

    asyncio.run(main())


def test_what_waits_for_a_thread_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)

    async def main() -> None:
        greenlets, pool = Greenlets(), Threads("postgresql", 1, patience(20))
        gate = threading.Event()
        calls = [asyncio.create_task(greenlets.run(lambda: pool.run(gate.wait))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(ReactionsUnavailable, match="3 calls of this process wait") as error:
            await greenlets.run(lambda: pool.run(gate.wait))
        assert error.value.store == "postgresql"
        gate.set()
        assert await asyncio.gather(*calls) == [True] * 3
        assert await greenlets.run(lambda: pool.run(lambda: 1)) == 1
        pool.close()

    asyncio.run(main())


def test_a_call_that_gets_no_thread_in_time_fails() -> None:
    async def main() -> None:
        greenlets, pool = Greenlets(), Threads("postgresql", 1, 0.0)
        with pytest.raises(ReactionsUnavailable, match="no thread was free"):
            await greenlets.run(lambda: pool.run(lambda: 1))
        pool.close()

    asyncio.run(main())

"""A service runs on the event loop, and in threads with a client that knows only threads."""

from __future__ import annotations

import asyncio

from reactions import Reactions
from reactions.core.settings import Settings
from reactions.web.running import InThreads, OnLoop, running


class Own(Reactions):
    """A client of an application, with methods of its own."""


def test_the_way_depends_on_the_client(settings: Settings) -> None:
    async def main() -> None:
        for client, kind in ((Reactions(settings), OnLoop), (Own(settings), InThreads)):
            ways = running(client)
            assert type(ways) is kind
            assert isinstance(ways.client, Reactions)
            react = ways.client.react
            outcome = await ways.run(lambda react=react: react(1, 1042, "like"))  # type: ignore[misc]
            assert outcome.reaction == "like"
            await ways.close()
            client.close()

    asyncio.run(main())


def test_a_function_may_make_several_calls(settings: Settings) -> None:
    async def main() -> None:
        with Reactions(settings) as client:
            ways = running(client)

            def work() -> list[str]:
                return [ways.client.react(1, 1042, name).status for name in ("like", "like")]

            assert await ways.run(work) == ["accepted", "unchanged"]
            await ways.close()

    asyncio.run(main())

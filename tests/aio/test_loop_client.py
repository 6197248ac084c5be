"""``LoopClient``: one for each loop; writes that replicas confirm wait in a thread."""

from __future__ import annotations

import asyncio

import pytest
from redis import Redis

import reactions
import reactions.aio
from reactions.core.settings import Settings


def test_writes_and_feeds_share_one_connection(settings: Settings) -> None:
    async def main() -> None:
        async with reactions.aio.Reactions(settings) as client:
            await client.react(1, 1042, "like")
            with Redis.from_url(settings.redis_url.get_secret_value()) as admin:
                before = len(admin.client_list())
                await asyncio.gather(
                    *(client.react(user, 1042, "love") for user in range(1, 50)),
                    *(client.summaries([1042, 1043], user) for user in range(1, 50)),
                )
                assert len(admin.client_list()) <= before + 1  # the relay may connect
            counts = await client.counts(1042)
            assert counts["love"] == 49

    asyncio.run(main())


def test_a_write_that_replicas_confirm_waits_for_them(settings: Settings) -> None:
    quick = settings.model_copy(update={"replica_timeout_s": 0.05})

    async def main() -> None:
        async with reactions.aio.Reactions(quick) as client:
            with pytest.raises(reactions.NotReplicated) as error:
                await client.react(1, 1042, "like", replicas=1)
            assert error.value.confirmed == 0
            assert await client.reaction_of(1, 1042) == "like"

    asyncio.run(main())

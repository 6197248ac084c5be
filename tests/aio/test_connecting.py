"""``Connector``: users, databases, both protocols, TLS, and the primary that Sentinels name."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import trustme

import reactions.aio
from reactions.aio.connecting import Connector
from reactions.core.errors import InvalidSettings
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.redis.connection_pool import address_of
from tests.aio.driving import ask, in_loop, lane_to
from tests.support.guarded import running_guarded
from tests.support.sentinel import SERVICE, running_sentinels
from tests.support.waiting import patience

pytestmark = pytest.mark.slow


def said(url: str, *words: str) -> Any:
    async def main() -> Any:
        async with lane_to(url) as lane:
            return (await ask(lane, *words))[0]

    return in_loop(main)


@pytest.mark.parametrize("protocol", [2, 3])
def test_both_protocols_a_name_and_a_database(valkey: Valkey, protocol: int) -> None:
    url = f"{valkey.url}?protocol={protocol}&client_name=twin".replace("/0?", "/3?")
    found = said(url, "CLIENT", "INFO").decode()
    assert {f"resp={protocol}", "name=twin", "db=3"} <= set(found.split())


def test_tls_and_a_user(tmp_path: Path) -> None:
    """Debian's Redis, because the Valkey of the wheel lacks TLS."""
    user = "reactions-web"
    with running_guarded(tmp_path, "redis", (user,), tls=trustme.CA()) as server:
        url = server.url_of(user)
        settings = Settings(redis_url=url, redis_timeout_s=min(60.0, patience(5)))

        async def main() -> None:
            async with reactions.aio.Reactions(settings) as client:
                outcomes = await asyncio.gather(*(client.react(1, n, "like") for n in (1, 2, 3)))
                assert [outcome.reaction for outcome in outcomes] == ["like"] * 3

        asyncio.run(main())


def test_the_primary_that_sentinels_name(tmp_path: Path) -> None:
    with running_sentinels(tmp_path) as watched:
        assert said(watched.url, "ROLE")[0] == b"master"
        nobody = watched.url.replace(SERVICE, "another")
        settings = Settings(redis_url=nobody, redis_timeout_s=min(60.0, patience(5)))

        async def main() -> None:
            async with reactions.aio.Reactions(settings) as client:
                await client.react(1, 1, "like")

        with pytest.raises(reactions.ReactionsUnavailable, match="does not know the service"):
            asyncio.run(main())


def test_both_clients_share_what_they_think_of_an_address() -> None:
    url = "redis://h:7/0"
    found = Connector(Settings(redis_url=url), url)
    assert found.address is address_of({"host": "h", "port": 7})
    assert found.address_at("h", 7) is found.address


def test_an_option_that_only_the_synchronous_client_has_is_refused() -> None:
    url = "rediss://h/0?ssl_validate_ocsp=true"
    with pytest.raises(InvalidSettings, match="asyncio client refuses"):
        Connector(Settings(redis_url=url), url)

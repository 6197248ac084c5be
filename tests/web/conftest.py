"""The service on real stores."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.web import create_app
from reactions.web.demo_auth import chosen_user
from tests.support.engine import Engine
from tests.web.serving import NO_DATABASE, NOWHERE, running, user


@pytest.fixture
def address(engine: Engine) -> Iterator[str]:
    with running(create_app(engine.reactions, chosen_user)) as found:
        yield found


@pytest.fixture
def alice(address: str) -> Iterator[httpx.Client]:
    with user(address, 7) as client:
        yield client


@pytest.fixture
def dead() -> Iterator[Reactions]:
    """A client whose stores do not answer, for requests that fail before they reach one."""
    with Reactions(Settings(redis_url=NOWHERE, database_url=NO_DATABASE)) as client:
        yield client


@pytest.fixture
def idle(dead: Reactions) -> Iterator[httpx.Client]:
    """A signed-in client of a service whose stores do not answer."""
    with running(create_app(dead, chosen_user)) as address, user(address, 7) as client:
        yield client

"""The service on real stores."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from reactions.web import create_app
from reactions.web.demo_auth import chosen_user
from tests.support.engine import Engine
from tests.web.serving import running, user


@pytest.fixture
def address(engine: Engine) -> Iterator[str]:
    with running(create_app(engine.reactions, chosen_user)) as found:
        yield found


@pytest.fixture
def alice(address: str) -> Iterator[httpx.Client]:
    with user(address, 7) as client:
        yield client

"""The assembled service."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from reactions.core.errors import InvalidSettings
from reactions.web import create_app
from reactions.web.demo_auth import chosen_user
from tests.support.engine import Engine
from tests.web.serving import put, running, user
from tests.web.streaming import listening

POST = 1042


def test_mounted_in_another_application(engine: Engine) -> None:
    """Only the lifespan of the outer application runs."""
    outer = FastAPI()
    outer.mount("/inner", create_app(engine.reactions, chosen_user))
    with running(outer) as address, user(f"{address}/inner", 7) as client:
        put(client, "love")
        with listening(f"{address}/inner", POST) as found:
            assert next(found).totals == {POST: 1}
            engine.reactions.react(8, POST, "wow")
            assert next(found).totals == {POST: 2}
        assert client.get("/v2").status_code == 404


def test_the_factory_refuses_to_start_without_an_authenticator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from reactions.web.app import from_environment

    monkeypatch.delenv("REACTIONS_WEB_AUTHENTICATOR", raising=False)
    with pytest.raises(InvalidSettings, match="needs an authenticator"):
        from_environment()

"""The assembled service."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text

from reactions.api.client import Reactions
from reactions.core.errors import InvalidSettings, LayoutMismatch
from reactions.web import create_app
from reactions.web.app import from_environment
from reactions.web.demo_auth import chosen_user
from reactions.web.serve import serve
from tests.support.engine import Engine
from tests.support.waiting import patience
from tests.web.serving import put, running, user
from tests.web.streaming import listening

POST = 1042


def test_mounted_in_another_application(engine: Engine) -> None:
    """Only the lifespan of the outer application runs."""
    outer = FastAPI()
    outer.mount("/inner", create_app(engine.reactions, chosen_user))
    with running(outer) as address, user(f"{address}/inner", 7) as client:
        put(client, "love")
        assert client.get("/openapi.json").json()["servers"] == [{"url": "/inner"}]
        with listening(f"{address}/inner", POST) as found:
            assert next(found).totals == {POST: 1}
            engine.reactions.react(8, POST, "wow")
            assert next(found).totals == {POST: 2}
        assert client.get("/v2").status_code == 404


def test_a_process_opens_no_more_connections_to_redis_than_it_has_threads(engine: Engine) -> None:
    threads, name = 3, "web-threads"
    url = engine.settings.redis_url.get_secret_value()
    settings = engine.settings.model_copy(
        update={
            "redis_url": SecretStr(f"{url}?client_name={name}"),
            "redis_timeout_s": patience(10),
            "web_threads": threads,
        }
    )

    def opened() -> int:
        return sum(each["name"] == name for each in engine.client.client_list())

    with Reactions(settings) as client, running(create_app(client, chosen_user)) as address:
        engine.client.client_pause(500)  # so that all wait together
        with ThreadPoolExecutor(30) as pool, user(address, 7) as visitor:
            asked = [pool.submit(visitor.get, f"/v1/summaries?post_id={POST}") for _ in range(30)]
            found = [answer.result() for answer in asked]
        assert {answer.status_code for answer in found} == {200}
        assert 1 <= opened() <= threads + 1  # and the thread that made the application


def test_the_factory_refuses_a_schema_that_is_not_migrated(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    for name, value in engine.settings.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REACTIONS_WEB_AUTHENTICATOR", "reactions.web.demo_auth:chosen_user")
    with pytest.raises(LayoutMismatch, match="run: reactions migrate"):
        from_environment()


@pytest.mark.parametrize("name", ["REDIS_URL", "DATABASE_URL"])
@pytest.mark.parametrize("way", ["reactions web", "uvicorn", "mounted"])
def test_no_way_starts_with_a_url_that_cannot_be_used(
    name: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each request would fail."""
    scheme = "redis" if name == "REDIS_URL" else "postgresql"
    monkeypatch.setenv(f"REACTIONS_{name}", f"{scheme}://127.0.0.1:1/0?foo=1")
    monkeypatch.setenv("REACTIONS_WEB_AUTHENTICATOR", "reactions.web.demo_auth:chosen_user")
    monkeypatch.setattr("uvicorn.run", lambda *_, **__: None)
    ways: dict[str, Callable[[], object]] = {
        "reactions web": lambda: serve("127.0.0.1", 8_000, 1),
        "uvicorn": from_environment,
        "mounted": lambda: create_app(Reactions(), chosen_user),
    }
    with pytest.raises(InvalidSettings, match="has the option foo"):
        ways[way]()


def test_the_factory_refuses_to_start_without_an_authenticator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    monkeypatch.delenv("REACTIONS_WEB_AUTHENTICATOR", raising=False)
    with pytest.raises(InvalidSettings, match="needs an authenticator"):
        from_environment()

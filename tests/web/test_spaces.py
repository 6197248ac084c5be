"""The endpoints of a space answer as the plain ones do, for the items of that space."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import SecretStr

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.postgres.migrate import migrate_spaces
from reactions.web import create_app, routes
from reactions.web.demo_auth import chosen_user
from tests.support.databases import own_database
from tests.support.engine import DEAD_BROKER, Engine, make_engine
from tests.support.waiting import patience, patient
from tests.web.serving import check_problem, get, put, running, user

ITEM = 1042
COMMENTS = f"/v1/spaces/comment/items/{ITEM}"


@pytest.fixture(scope="module")
def spaced(postgres: Postgres) -> Iterator[Settings]:
    with own_database(postgres.url) as url:
        spaces = {"comment": {"reaction_types": "up,down"}}
        values = {"broker_url": DEAD_BROKER, "redis_timeout_s": patience(0.5), **patient()}
        settings = Settings(database_url=url, spaces=spaces, **values)
        migrate_spaces(settings)
        yield settings


@pytest.fixture
def comments(spaced: Settings, redis_url: str) -> Iterator[Engine]:
    settings = spaced.model_copy(update={"redis_url": SecretStr(redis_url)})
    engine = make_engine(settings.of_space("comment"))
    yield engine
    engine.close()


@pytest.fixture
def alice(comments: Engine) -> Iterator[httpx.Client]:
    client = comments.reactions.space("post")
    with running(create_app(client, chosen_user)) as address, user(address, 7) as found:
        yield found


def react(client: httpx.Client, reaction: str) -> httpx.Response:
    return client.put(f"{COMMENTS}/reaction", json={"reaction": reaction})


def test_every_endpoint_has_one_for_a_space(alice: httpx.Client) -> None:
    paths = alice.get("/openapi.json").json()["paths"]
    plain = {route.path for route in routes.router.routes if isinstance(route, APIRoute)}
    assert {f"/v1{path}" for path in plain} < set(paths)
    of_spaces = {f"/v1/spaces/{{space}}{path.replace('/posts/', '/items/')}" for path in plain}
    assert of_spaces < set(paths)
    for path in of_spaces:
        for operation in paths[path].values():
            assert operation["operationId"].endswith("InSpace")
            assert "404" in operation["responses"]
            assert "space" in [each["name"] for each in operation["parameters"]]


def test_an_item_of_a_space_is_no_post(alice: httpx.Client, comments: Engine) -> None:
    put(alice, "love")
    assert react(alice, "down").json()["previous"] is None
    assert react(alice, "up").json()["previous"] == "down"
    comments.drain()
    (item,) = get(alice, "/v1/spaces/comment/summaries", post_id=ITEM)["items"]
    assert (item["counts"], item["reaction"]) == ({"up": 1, "down": 0}, "up")
    (post,) = get(alice, "/v1/summaries", post_id=ITEM)["items"]
    assert (post["total"], post["reaction"]) == (1, "love")
    (same,) = get(alice, "/v1/spaces/post/summaries", post_id=ITEM)["items"]
    assert same == post
    assert get(alice, f"{COMMENTS}/reactors")["items"] == [{"user_id": "7", "reaction": "up"}]
    assert get(alice, f"{COMMENTS}/recent")["items"] == [{"user_id": "7", "reaction": "up"}]
    assert get(alice, f"{COMMENTS}/uniques") == {"uniques": 1}
    mine = get(alice, "/v1/spaces/comment/users/me/history")["items"]
    assert [each["reaction"] for each in mine] == ["up"]
    names = [each["name"] for each in get(alice, "/v1/spaces/comment/types")["items"]]
    assert names == ["up", "down"]
    assert alice.delete(f"{COMMENTS}/reaction").json()["status"] in ("accepted", "removed")
    assert get(alice, "/v1/summaries", post_id=ITEM)["items"] == [post]


def test_what_is_refused(alice: httpx.Client) -> None:
    detail = check_problem(react(alice, "love"), 422, "invalid-argument")
    assert "one of up, down" in detail
    unknown = alice.get("/v1/spaces/message/summaries", params={"post_id": ITEM})
    assert "use one of post, comment" in check_problem(unknown, 404, "unknown-space")
    answer = alice.put("/v1/spaces/message/items/1/reaction", json={"reaction": "up"})
    check_problem(answer, 404, "unknown-space")


def test_a_stream_of_a_space(alice: httpx.Client) -> None:
    react(alice, "down")
    with alice.stream("GET", f"/v1/spaces/comment/stream?post_id={ITEM}") as answer:
        assert '"down":1' in next(line for line in answer.iter_lines() if "data:" in line)


def test_without_spaces_there_are_only_the_plain_endpoints(dead: Reactions) -> None:
    found = [getattr(route, "path", "") for route in create_app(dead, chosen_user).routes]
    assert not [path for path in found if "space" in path]

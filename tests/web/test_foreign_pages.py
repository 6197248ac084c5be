"""Pages of other origins: listed ones may read and write with credentials, no other may write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.web import create_app
from reactions.web.demo_auth import COOKIE, chosen_user
from tests.support import http
from tests.support.engine import Engine
from tests.web.browsing import chromium
from tests.web.serving import check_problem, put, running, user

POST = 1042
SHOP, OTHER = "https://shop.example", "https://evil.example"
PATH = f"/v1/posts/{POST}/reaction"
LOVE = {"reaction": "love"}


@pytest.fixture
def listing(settings: Settings) -> Iterator[httpx.Client]:
    """A signed-in client of a service that lists one origin."""
    with (
        Reactions(settings.model_copy(update={"web_origins": (SHOP,)})) as client,
        running(create_app(client, chosen_user)) as address,
        user(address, 7) as alice,
    ):
        yield alice


def asked(client: httpx.Client, origin: str, method: str = "PUT") -> httpx.Response:
    """Ask as a browser does before a request with a header of its own."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return client.options(PATH, headers=headers)


@pytest.mark.parametrize("origin", [SHOP, OTHER, "null"])
def test_without_a_list_no_other_origin_may_write(
    alice: httpx.Client, engine: Engine, origin: str
) -> None:
    check_problem(asked(alice, origin), 403, "foreign-page")
    for method in ("PUT", "DELETE"):
        answer = alice.request(method, PATH, json=LOVE, headers={"Origin": origin})
        assert "REACTIONS_WEB_ORIGINS" in check_problem(answer, 403, "foreign-page")
    answer = alice.get("/v1/types", headers={"Origin": origin})
    assert not [name for name in answer.headers if name.startswith("access-control-allow-origin")]
    assert engine.reactions.reaction_of(7, POST) is None


def test_a_listed_origin_reads_and_writes_with_credentials(listing: httpx.Client) -> None:
    for method in ("PUT", "DELETE", "GET"):
        answer = asked(listing, SHOP, method)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert method in answer.headers["Access-Control-Allow-Methods"]
        assert "authorization" in answer.headers["Access-Control-Allow-Headers"]
    browser = {"Origin": SHOP, "Sec-Fetch-Site": "cross-site"}
    for answer in (
        listing.put(PATH, json=LOVE, headers=browser),
        listing.get("/v1/types", headers=browser),
        listing.put(PATH, json={}, headers=browser),  # a problem is readable, too
        listing.delete(PATH, headers=browser),
    ):
        assert answer.status_code in (200, 422)
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert answer.headers["Access-Control-Expose-Headers"] == "Retry-After"
        assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize(
    "origin",
    [OTHER, "null", "https://shop.example:8443", "http://shop.example", "https://a.shop.example"],
)
def test_an_origin_that_is_not_listed_is_refused_beside_one_that_is(
    listing: httpx.Client, origin: str
) -> None:
    check_problem(asked(listing, origin), 403, "foreign-page")
    check_problem(listing.put(PATH, json=LOVE, headers={"Origin": origin}), 403, "foreign-page")
    answer = listing.get("/v1/types", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # no browser
        ({"Origin": "http://{host}"}, 200),
        ({"Origin": "https://{host}"}, 200),  # a proxy ends TLS
        ({"Origin": "https://shop.example", "Sec-Fetch-Site": "same-origin"}, 200),  # and the name
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://a.example", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://{host}.evil.example"}, 403),
    ],
)
def test_its_own_origin_may_write(
    alice: httpx.Client, headers: dict[str, str], status: int
) -> None:
    said = {
        name: value.format(host=alice.base_url.netloc.decode()) for name, value in headers.items()
    }
    assert alice.put(PATH, json=LOVE, headers=said).status_code == status


def test_an_application_that_allows_every_origin_does_not_open_the_service(
    engine: Engine,
) -> None:
    outer = FastAPI()
    anyone: dict[str, Any] = {"allow_origin_regex": ".*", "allow_credentials": True}
    outer.add_middleware(CORSMiddleware, allow_methods=["*"], allow_headers=["*"], **anyone)
    outer.mount("/inner", create_app(engine.reactions, chosen_user))
    with running(outer) as address, user(f"{address}/inner", 7) as alice:
        answer = alice.put(PATH, json=LOVE, headers={"Origin": OTHER})
        check_problem(answer, 403, "foreign-page")
        put(alice, "love")


def broken(_: Request) -> int:
    """An authenticator with a defect."""
    raise RuntimeError


def test_a_listed_page_can_read_that_the_service_has_a_defect(dead: Reactions) -> None:
    settings = dead.settings.model_copy(update={"web_origins": (SHOP,)})
    with Reactions(settings) as client, running(create_app(client, broken)) as address:
        answer = http.get(f"{address}/v1/types", headers={"Origin": SHOP})
        check_problem(answer, 500, "defect")
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP


@pytest.mark.slow
def test_a_browser_writes_and_listens_from_a_listed_origin_only(settings: Settings) -> None:
    """Another port of this machine is another origin, and gets the same cookies."""
    with (
        running(FastAPI(openapi_url="/listed")) as listed,
        running(FastAPI(openapi_url="/other")) as other,
        Reactions(settings.model_copy(update={"web_origins": (listed,)})) as client,
        running(create_app(client, chosen_user)) as service,
        chromium() as browser,
    ):
        context = browser.new_context()
        context.add_cookies([{"name": COOKIE, "value": "7", "url": service}])
        page = context.new_page()
        page.goto(f"{listed}/listed")
        assert page.evaluate(TRY, service) == [200, "1"]
        page.goto(f"{other}/other")
        assert page.evaluate(TRY, service) == ["TypeError", "silent"]
        assert client.reaction_of(7, POST) == "love"


TRY = """async service => {
  const headers = {"Content-Type": "application/json"}
  const init = {method: "PUT", credentials: "include", headers}
  const body = JSON.stringify({reaction: location.pathname === "/listed" ? "love" : "sad"})
  const put = await fetch(`${service}/v1/posts/1042/reaction`, {...init, body})
    .then(answer => answer.status, error => error.name)
  const stream = new EventSource(`${service}/v1/stream?post_id=1042`, {withCredentials: true})
  const heard = await new Promise(resolve => {
    stream.onmessage = event => resolve(String(JSON.parse(event.data).items[0].total))
    stream.onerror = () => resolve("silent")
  })
  stream.close()
  return [put, heard]
}"""

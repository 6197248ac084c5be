"""Each endpoint answers as the library does, for the signed-in user."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx

from reactions.core.constants import MAX_ID
from reactions.postgres.type_registry import TypeRegistry
from tests.support import http
from tests.support.engine import Engine
from tests.support.types import publish
from tests.support.waiting import wait_until
from tests.web.serving import get, put, user

POST = 1042


def test_react_and_unreact(alice: httpx.Client, engine: Engine) -> None:
    first = put(alice, "love")
    assert first == {
        "status": "accepted",
        "reaction": "love",
        "previous": None,
        "version": first["version"],
    }
    assert put(alice, "love")["status"] == "unchanged"
    assert put(alice, "wow")["previous"] == "love"
    assert engine.reactions.reaction_of(7, POST) == "wow"
    gone = alice.delete(f"/v1/posts/{POST}/reaction").json()
    assert (gone["status"], gone["reaction"], gone["previous"]) == ("removed", None, "wow")
    assert engine.reactions.reaction_of(7, POST) is None


def test_a_feed(alice: httpx.Client, address: str) -> None:
    put(alice, "love")
    with user(address, 8) as bob:
        put(bob, "wow")
        feed = get(bob, "/v1/summaries", post_id=[43, POST])
    empty, mine = feed["items"]
    assert (empty["post_id"], empty["total"], empty["reaction"]) == ("43", 0, None)
    assert mine["post_id"] == str(POST)
    assert mine["counts"] == dict.fromkeys(mine["counts"], 0) | {"love": 1, "wow": 1}
    assert (mine["total"], mine["tier"], mine["reaction"]) == (2, "regular", "wow")
    assert get(alice, "/v1/summaries", post_id=POST)["items"][0]["reaction"] == "love"
    whole = get(alice, "/v1/summaries", post_id=list(range(1, 201)))
    assert len(whole["items"]) == 200


def test_reactors_in_pages(alice: httpx.Client, engine: Engine) -> None:
    engine.reactions.react_many([(n, POST, "like" if n % 2 else "sad") for n in range(1, 8)])
    engine.drain()
    pages: list[list[str]] = []
    cursor = None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = get(alice, f"/v1/posts/{POST}/reactors", **query)
        pages.append([one["user_id"] for one in page["items"]])
        cursor = page["cursor"]
        if cursor is None:
            break
    assert [len(page) for page in pages] == [3, 3, 1]
    assert sorted(one for page in pages for one in page) == [str(n) for n in range(1, 8)]
    sad = get(alice, f"/v1/posts/{POST}/reactors", reaction="sad")["items"]
    assert {one["user_id"] for one in sad} == {"2", "4", "6"}
    assert {one["reaction"] for one in sad} == {"sad"}


def test_the_newest(alice: httpx.Client, engine: Engine) -> None:
    for n in (1, 2, 3):
        engine.reactions.react(n, POST, "like")
    found = get(alice, f"/v1/posts/{POST}/recent", limit=2)
    assert found == {"items": [{"user_id": str(n), "reaction": "like"} for n in (3, 2)]}


def test_uniques(alice: httpx.Client, engine: Engine) -> None:
    engine.reactions.react_many([(n, POST, "like") for n in (1, 2, 3)])
    engine.drain()
    assert get(alice, f"/v1/posts/{POST}/uniques") == {"uniques": 3}


def test_the_history_is_the_users_own(alice: httpx.Client, address: str, engine: Engine) -> None:
    engine.reactions.react_many([(7, post, "like") for post in (1, 2, 3)])
    engine.drain()
    page = get(alice, "/v1/users/me/history", limit=2)
    assert [one["post_id"] for one in page["items"]] == ["3", "2"]
    rest = get(alice, "/v1/users/me/history", cursor=page["cursor"])
    assert [one["post_id"] for one in rest["items"]] == ["1"]
    assert rest["cursor"] is None
    with user(address, 8) as bob:
        assert get(bob, "/v1/users/me/history")["items"] == []
        refused = bob.get("/v1/users/me/history", params={"cursor": page["cursor"]})
        assert refused.status_code == 422


def test_the_requests_in_the_documentation_work(alice: httpx.Client, project: Path) -> None:
    forms = re.findall(r"^\| `GET (/v1/[^`]*)`", (project / "docs/web.md").read_text(), re.M)
    assert len(forms) == 7
    for form in forms:
        if "stream" not in form:  # it does not end
            answer = alice.get(form.replace("{id}", str(POST)))
            assert answer.is_success, answer.text


def test_ids_beyond_the_exact_numbers_of_javascript(alice: httpx.Client) -> None:
    put(alice, "love", MAX_ID)
    (found,) = get(alice, "/v1/summaries", post_id=MAX_ID)["items"]
    assert (found["post_id"], found["reaction"]) == (str(MAX_ID), "love")


def test_health(address: str) -> None:
    for path in ("/healthz", "/readyz"):
        answer = http.get(f"{address}{path}")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_the_types_with_what_people_see_of_them(alice: httpx.Client, engine: Engine) -> None:
    registry = TypeRegistry(engine.database)
    registry.describe("love", "Adore", "🧡")
    registry.retire("sad")
    registry.add("party")
    publish(engine, registry)

    def listed() -> dict[str, Any]:
        return {one.pop("name"): one for one in get(alice, "/v1/types")["items"]}

    wait_until(lambda: "party" in listed(), what="the service reads the registry")
    found = listed()
    assert list(found) == ["like", "love", "laugh", "wow", "sad", "angry", "party"]
    assert found["love"] == {"label": "Adore", "emoji": "🧡", "retired": False}
    assert found["sad"] == {"label": "Sad", "emoji": "😢", "retired": True}
    assert found["party"] == {"label": "Party", "emoji": None, "retired": False}

    def described() -> Any:
        return alice.get("/openapi.json").json()

    def named(document: Any) -> Any:
        return document["components"]["schemas"]["Wanted"]["properties"]["reaction"]["enum"]

    wait_until(lambda: "party" in named(described()), what="the document lists the new type")
    document = described()
    assert named(document) == ["like", "love", "laugh", "wow", "angry", "party"]
    (asked,) = [
        one["schema"]["anyOf"][0]["enum"]
        for one in document["paths"]["/v1/posts/{post_id}/reactors"]["get"]["parameters"]
        if one["name"] == "reaction"
    ]
    assert "sad" in asked

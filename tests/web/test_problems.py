"""Every error is problem+json. It says what to do, and reveals no address or password."""

from __future__ import annotations

import httpx
import pytest
from fastapi import Request

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.web import create_app
from reactions.web.demo_auth import HEADER, chosen_user
from tests.support import http
from tests.support.engine import Engine
from tests.web.serving import NO_DATABASE, check_problem, running, user

POST = 1042
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v1/posts/0/recent", "path.post_id"),
        ("/v1/posts/9223372036854775808/recent", "path.post_id"),
        ("/v1/posts/+7/recent", "path.post_id"),
        ("/v1/posts/7.0/recent", "path.post_id"),
        ("/v1/posts/07/recent", 'a string of digits without leading zeros, from "1"'),
        ("/v1/posts/\u0667/recent", "path.post_id"),  # a digit of another script
        (f"/v1/posts/{'7' * 5_000}/recent", "path.post_id"),
        ("/v1/posts/7/recent?limit=0", "query.limit"),
        ("/v1/posts/7/recent?limit=1001", "query.limit"),
        ("/v1/posts/7/reactors?limit=201", "query.limit"),
        ("/v1/posts/7/reactors?reaction=hate", "reaction must be one of like, love"),
        ("/v1/posts/7/reactors?cursor=x", "cursor must be a cursor that this service gave out"),
        ("/v1/users/me/history?cursor=x", "cursor must be a cursor that this service gave out"),
        ("/v1/summaries", "query.post_id"),
        ("/v1/summaries?post_id=7&post_id=x", "query.post_id.1"),
        (f"/v1/summaries?{'&'.join(f'post_id={n}' for n in range(1, 202))}", "query.post_id"),
        (f"/v1/stream?{'&'.join(f'post_id={n}' for n in range(1, 102))}", "query.post_id"),
    ],
)
def test_a_bad_argument_is_named(idle: httpx.Client, path: str, named: str) -> None:
    assert named in check_problem(idle.get(path), 422, "invalid-argument")


def test_an_answer_names_at_most_ten_bad_arguments(idle: httpx.Client) -> None:
    query = "&".join(["post_id=x"] * 200)
    detail = check_problem(idle.get(f"/v1/summaries?{query}"), 422, "invalid-argument")
    assert detail.count("query.post_id.") == 10
    assert detail.endswith("; ...")


@pytest.mark.parametrize(
    "body", [b"[]", b"7", b"{}", b'{"reaction": 1}', b'{"reaction":"like","x":1}']
)
def test_a_bad_body_is_refused(idle: httpx.Client, body: bytes) -> None:
    answer = idle.put(f"/v1/posts/{POST}/reaction", content=body, headers=JSON)
    check_problem(answer, 422, "invalid-argument")


@pytest.mark.parametrize("body", [b"", b"{", b"like", b'{"reaction": "\xff"}', b"[" * 4_000])
def test_a_body_that_is_not_json(idle: httpx.Client, body: bytes) -> None:
    answer = idle.put(f"/v1/posts/{POST}/reaction", content=body, headers=JSON)
    check_problem(answer, 400, "bad-request")


@pytest.mark.parametrize("said", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_without_the_json_content_type(idle: httpx.Client, said: str | None) -> None:
    headers = {"Content-Type": said} if said else {}
    content = b'{"reaction": "like"}'
    answer = idle.put(f"/v1/posts/{POST}/reaction", content=content, headers=headers)
    assert "Content-Type: application/json" in check_problem(answer, 400, "bad-request")


def test_the_refusal_of_an_unknown_type_lists_the_known_ones(alice: httpx.Client) -> None:
    answer = alice.put(f"/v1/posts/{POST}/reaction", json={"reaction": "hate"})
    assert "one of like, love, laugh" in check_problem(answer, 422, "invalid-argument")


def test_an_unknown_path_or_method(idle: httpx.Client) -> None:
    check_problem(idle.get("/v2"), 404, "not-found")
    answer = idle.post(f"/v1/posts/{POST}/reaction")
    check_problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"]


def test_a_deleted_post(alice: httpx.Client, engine: Engine) -> None:
    engine.reactions.delete_post(POST)
    answer = alice.put(f"/v1/posts/{POST}/reaction", json={"reaction": "like"})
    assert "1042" in check_problem(answer, 410, "post-deleted")
    check_problem(alice.delete(f"/v1/posts/{POST}/reaction"), 410, "post-deleted")
    (shown,) = alice.get("/v1/summaries", params={"post_id": POST}).json()["items"]
    assert (shown["tier"], shown["total"]) == ("deleted", 0)


def test_without_redis(idle: httpx.Client) -> None:
    """The answers reveal neither its address nor its password."""
    answers = [
        idle.put(f"/v1/posts/{POST}/reaction", json={"reaction": "like"}),
        idle.delete(f"/v1/posts/{POST}/reaction"),
        idle.get("/v1/summaries", params={"post_id": POST}),
        idle.get("/v1/stream", params={"post_id": POST}),
        idle.get(f"/v1/posts/{POST}/reactors"),
        idle.get("/readyz"),
    ]
    for answer in answers:
        detail = check_problem(answer, 503, "unavailable")
        assert "redis" in detail
        assert answer.headers["Retry-After"] == "1"
        assert "127.0.0.1" not in answer.text
    assert idle.get("/healthz").status_code == 200


def test_without_postgresql_writes_work_and_reads_of_uncached_posts_fail(
    settings: Settings,
) -> None:
    broken = settings.model_copy(update={"database_url": NO_DATABASE, "read_timeout_s": 0.5})
    with (
        Reactions(broken) as client,
        running(create_app(client, chosen_user)) as address,
        user(address, 7) as alice,
    ):
        assert alice.put(f"/v1/posts/{POST}/reaction", json={"reaction": "like"}).is_success
        assert alice.get("/readyz").is_success
        for path in ("summaries?post_id=1", "users/me/history", "posts/1/uniques"):
            answer = alice.get(f"/v1/{path}")
            assert "postgresql" in check_problem(answer, 503, "unavailable")
            assert answer.headers["Retry-After"] == "1"
        client.delete_post(2)  # Redis alone knows it
        feed = alice.get("/v1/summaries?post_id=1&post_id=2&post_id=1")
        assert feed.status_code == 200
        assert [shown["post_id"] for shown in feed.json()["items"]] == ["2"]
        assert feed.json()["missing"] == ["1"]


def of_header(request: Request) -> object:
    """An authenticator with defects."""
    said = request.headers.get(HEADER, "")
    return {"7": 7, "text": "7", "zero": 0, "true": True}.get(said) if said != "raise" else 1 / 0


@pytest.mark.parametrize("said", ["text", "zero", "true", "raise"])
def test_a_defect_is_a_problem_too(dead: Reactions, said: str) -> None:
    with running(create_app(dead, of_header)) as address:
        answer = http.get(f"{address}/v1/summaries?post_id=1", headers={HEADER: said})
        check_problem(answer, 500, "defect")
        assert (
            http.get(f"{address}/v1/summaries?post_id=1", headers={HEADER: "7"}).status_code == 503
        )

"""The stream sends full values to each client, and ends by itself."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import pytest
from fastapi import Request

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.postgres.type_registry import TypeRegistry
from reactions.web import create_app, poller, stream
from reactions.web.demo_auth import HEADER, chosen_user
from tests.support import http
from tests.support.engine import Engine
from tests.support.types import publish
from tests.support.waiting import patience, wait_until
from tests.web.serving import check_problem, running, user
from tests.web.streaming import events, listening

POST, OTHER = 1042, 43


def test_first_all_values_then_those_that_change(address: str, engine: Engine) -> None:
    engine.reactions.react(1, POST, "love")
    with listening(address, POST, OTHER, POST) as found:
        first = next(found)
        assert first.totals == {OTHER: 0, POST: 1}
        engine.reactions.react(2, POST, "wow")
        (changed,) = next(found).items
    zeros = dict.fromkeys(changed["counts"], 0)
    assert changed == {
        "post_id": str(POST),
        "counts": zeros | {"love": 1, "wow": 1},
        "total": 2,
        "tier": "regular",
    }


def test_a_deletion_is_a_change(address: str, engine: Engine) -> None:
    engine.reactions.react(1, POST, "love")
    with listening(address, POST) as found:
        assert next(found).totals == {POST: 1}
        engine.reactions.delete_post(POST)
        (changed,) = next(found).items
    assert (changed["tier"], changed["total"]) == ("deleted", 0)


def test_a_client_with_the_current_event_id_gets_no_first_event(
    address: str, engine: Engine
) -> None:
    engine.reactions.react(1, POST, "love")
    with listening(address, POST, OTHER) as found:
        first = next(found)
    with listening(address, OTHER, POST, last_id=first.id) as found:
        engine.reactions.react(2, POST, "love")
        assert next(found).totals == {POST: 2}


def test_a_client_with_an_old_event_id_gets_all_values_from_any_process(
    address: str, engine: Engine
) -> None:
    with listening(address, POST, OTHER) as found:
        first = next(found)
        engine.reactions.react(1, OTHER, "love")
        second = next(found)
    with running(create_app(engine.reactions, chosen_user)) as another:
        with listening(another, POST, OTHER, last_id=first.id) as found:
            again = next(found)
            assert again.totals == {OTHER: 1, POST: 0}
            assert again.id == second.id
        with listening(another, POST, OTHER, last_id=second.id) as found:
            engine.reactions.react(2, OTHER, "love")
            assert next(found).totals == {OTHER: 2}


def opened(address: str, stack: ExitStack, user_ids: Sequence[int]) -> None:
    """Open streams until the exit stack closes."""
    for user_id in user_ids:
        found = stack.enter_context(listening(address, POST, user_id=user_id))
        next(found)
        stack.callback(found.close)  # closing the generator closes its connection


def test_a_process_limits_its_streams(settings: Settings) -> None:
    with (
        Reactions(settings.model_copy(update={"web_streams": 2})) as client,
        running(create_app(client, chosen_user)) as address,
        user(address, 9) as carol,
    ):
        with ExitStack() as two:
            opened(address, two, [7, 8])
            answer = carol.get(f"/v1/stream?post_id={POST}")
            check_problem(answer, 503, "too-many-streams")
            assert answer.headers["Retry-After"] == "10"
        retry(address, 9)


def test_a_process_limits_the_streams_of_a_user(address: str) -> None:
    with ExitStack() as all_, user(address, 7) as alice:
        opened(address, all_, [7] * (stream.MAX_USER_STREAMS - 1))
        with listening(address, POST):
            answer = alice.get(f"/v1/stream?post_id={POST}")
            check_problem(answer, 429, "too-many-streams")
            assert answer.headers["Retry-After"] == "10"
            opened(address, all_, [8])
        retry(address, 7)


def retry(address: str, user_id: int) -> None:
    """Open a stream as soon as the service notices that another one closed."""

    def there_is_room() -> bool:
        url = f"{address}/v1/stream?post_id={POST}"
        with http.stream("GET", url, headers={HEADER: str(user_id)}) as answer:
            return answer.status_code == 200

    wait_until(there_is_room)


def test_a_stream_ends_and_the_next_one_continues(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LIFE_S", 0.2)
    with listening(address, POST) as found:
        (only,) = list(found)
    with listening(address, POST, last_id=only.id) as found:
        assert list(found) == []


def test_a_comment_keeps_a_silent_stream_open(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.05)
    url = f"{address}/v1/stream?post_id={POST}"
    with http.stream("GET", url, headers={HEADER: "7"}, timeout=patience(20)) as answer:
        assert any(line.startswith(":") for line in answer.iter_lines())


def test_a_stream_beats_while_its_values_are_current(
    address: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(address, POST, beats=True) as found:
        first = next(found)
        assert next(found) == (first.id, [], "beat")
    monkeypatch.setattr(stream, "BEAT_S", 0.01)
    monkeypatch.setattr(poller, "CURRENT_S", -1.0)
    with listening(address, POST, beats=True) as found:
        next(found)
        engine.reactions.react(1, POST, "love")  # a poll later, and so many beats
        assert next(found).totals == {POST: 1}


def test_a_stream_tells_each_change_of_the_types(address: str, engine: Engine) -> None:
    """A label, an emoji, a retirement; the values of the posts stay, and so does their id."""
    registry = TypeRegistry(engine.database)
    with listening(address, POST, types=True) as found, listening(address, POST) as other:
        first, types = next(found), next(found)
        assert (types.name, types.id) == ("types", "")
        with user(address, 7) as alice:
            assert types.items == alice.get("/v1/types").json()["items"]
        described = {"name": "love", "label": "Adore", "emoji": "🧡"}
        registry.describe("love", "Adore", "🧡")
        publish(engine, registry)
        changed = next(found)
        assert (changed.name, changed.items[1]) == ("types", described | {"retired": False})
        registry.retire("love")
        publish(engine, registry)
        changed = next(found)
        assert (changed.name, changed.items[1]) == ("types", described | {"retired": True})
        engine.reactions.react(1, POST, "like")
        assert next(found).totals == {POST: 1}
        assert next(other).id == first.id  # no types where nobody asked for them
        assert next(other).totals == {POST: 1}


def by_token(request: Request) -> int | None:
    """An authenticator for ``EventSource``, which sends no header."""
    token = request.query_params.get("token", "")
    return int(token) if token.isdigit() else None


def test_a_token_in_the_query_opens_a_stream(engine: Engine) -> None:
    with (
        running(create_app(engine.reactions, by_token)) as address,
        user(address, 7) as alice,
    ):
        check_problem(alice.get("/v1/stream", params={"post_id": POST}), 401, "unauthenticated")
        query: dict[str, str | int] = {"post_id": POST, "token": "7"}
        with alice.stream("GET", "/v1/stream", params=query) as answer:
            assert answer.status_code == 200
            assert next(iter(events(answer))).totals == {POST: 0}

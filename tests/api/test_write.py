"""``Writer``: outcomes, refused arguments and round trips of writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import RedisError

import reactions
from reactions import InvalidArgument, Reactions, Status
from reactions.core.errors import BatchInterrupted, ScriptError
from reactions.redis.writes import RedisWrites
from tests.support.engine import Engine
from tests.support.reading import make_regular, make_viral, traffic

BAD_IDS: list[Any] = [0, -1, 2**63, True, False, 1.0, float("nan"), "1", b"1", None, [1], 10**5000]


BAD_REACTIONS: list[Any] = [
    "",
    "LIKE",
    "like ",
    "x" * 10_000,
    "\0",
    1,
    True,
    None,
    b"like",
    ["like"],
]


def test_outcomes_on_a_cold_post_and_on_a_loaded_post(engine: Engine) -> None:
    client = engine.reactions
    first = client.react(1, 1042, "like")
    assert (first.status, first.reaction, first.previous) == (Status.ACCEPTED, "like", None)
    assert isinstance(first.version, int)
    engine.drain()
    assert engine.loader.load([1042])
    assert client.react(1, 1042, "like") == reactions.Outcome(
        Status.UNCHANGED, "like", "like", None
    )
    assert client.react(2, 1042, "love").status is Status.CREATED
    replaced = client.react(1, 1042, "love")
    assert (replaced.status, replaced.reaction, replaced.previous) == ("replaced", "love", "like")
    removed = client.unreact(1, 1042)
    assert (removed.status, removed.reaction, removed.previous) == ("removed", None, "love")
    assert client.unreact(1, 1042).status is Status.UNCHANGED
    assert client.counts(1042) == dict.fromkeys(engine.settings.reaction_types, 0) | {"love": 1}


def test_an_outcome_is_frozen(engine: Engine) -> None:
    outcome = engine.reactions.react(1, 1042, "like")
    with pytest.raises(AttributeError):
        outcome.version = 1  # type: ignore[misc]


@pytest.mark.parametrize("bad", BAD_IDS, ids=lambda bad: type(bad).__name__)
def test_a_bad_id_is_refused_before_anything_is_sent(nowhere: Reactions, bad: Any) -> None:
    calls: list[tuple[str, Callable[[], object]]] = [
        ("user_id", lambda: nowhere.react(bad, 1, "like")),
        ("post_id", lambda: nowhere.react(1, bad, "like")),
        ("user_id", lambda: nowhere.unreact(bad, 1)),
        ("post_id", lambda: nowhere.unreact(1, bad)),
        ("post_id", lambda: nowhere.counts(bad)),
        ("user_id", lambda: nowhere.react_many([(1, 1, "like"), (bad, 1, "like")])),
    ]
    for argument, call in calls:
        with pytest.raises(InvalidArgument, match="an integer from 1 to 2\\^63-1") as error:
            call()
        assert error.value.argument == argument
        assert len(str(error.value)) < 200


@pytest.mark.parametrize("bad", BAD_REACTIONS, ids=lambda bad: repr(bad)[:20])
def test_a_bad_reaction_is_refused_before_anything_is_sent(nowhere: Reactions, bad: Any) -> None:
    with pytest.raises(InvalidArgument, match="like, love, laugh, wow, sad, angry") as error:
        nowhere.react(1, 1, bad)
    assert error.value.argument == "reaction"
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("bad", [None, 5, [5], [(1, 2)], ["abc"], [(1, 2, "like", 4)], [None]])
def test_a_bad_batch_is_refused_before_anything_is_sent(nowhere: Reactions, bad: Any) -> None:
    with pytest.raises(InvalidArgument) as error:
        nowhere.react_many(bad)
    assert error.value.argument == "items"


def test_a_batch_is_bounded(engine: Engine) -> None:
    endless = ((user, 1042, "like") for user in iter(lambda: 1, 0))
    with pytest.raises(InvalidArgument, match="at most 10000"):
        engine.reactions.react_many(endless)
    three = [(user, 1042, "like") for user in (1, 2, 3)]
    with (
        Reactions(engine.settings.model_copy(update={"batch_limit": 2})) as client,
        pytest.raises(InvalidArgument, match="at most 2 "),
    ):
        client.react_many(three)
    assert engine.outbox_state.pending() == 0


def test_react_many_is_one_round_trip_with_outcomes_in_order(engine: Engine) -> None:
    client = engine.reactions
    reads, outcomes = list[int](), client.react_many([])
    for new in range(2, 7):
        client.react(1, 1, "wow")
        items = [(1, 1, "like"), (2, new, "love"), (1, 1, None), (1, 1, None)]
        before = engine.client.info("stats")["total_reads_processed"]
        outcomes = client.react_many(items)
        reads.append(engine.client.info("stats")["total_reads_processed"] - before)
    assert min(reads) <= 2  # the pipeline, and this INFO; the relay may read at the same moment
    assert [outcome.status for outcome in outcomes] == [
        Status.REPLACED,
        Status.ACCEPTED,
        Status.REMOVED,
        Status.UNCHANGED,
    ]
    assert client.react_many([]) == []


def test_react_is_one_round_trip_on_one_slot_whatever_the_post(engine: Engine) -> None:
    """The client sends one EVALSHA and nothing else, whether the post is cold or cached."""
    client = engine.reactions
    client.react(1, 1042, "like")
    commands = []
    with engine.client.monitor() as monitor:  # type: ignore[no-untyped-call]
        for post in (1042, 7, 2**63 - 1):
            client.react(2, post, "like")
            for seen in monitor.listen():
                if seen["client_type"] == "lua":
                    continue
                commands.append(seen["command"].split()[0])
                break
    assert commands == ["EVALSHA"] * 3


def test_a_write_is_one_round_trip_and_no_query_whatever_the_post(small: Engine) -> None:
    client = small.reactions
    make_regular(small, 1)
    make_viral(small, 2)
    calls: list[Callable[[int], object]] = [
        lambda post: client.react(99, post, "love"),
        lambda post: client.react(99, post, "love"),  # changes nothing
        lambda post: client.unreact(99, post),
        lambda post: client.unreact(98, post),
        client.delete_post,
        client.forget_user,
    ]
    for call in calls:
        for post in (1, 2, 3):
            with traffic(client) as seen:
                call(post)
            assert (seen.trips, seen.queries) == (1, [])


@pytest.mark.parametrize(("wake_patience_s", "again"), [(3_600, 0), (1e-7, 1)])
def test_an_unanswered_wake_up_is_asked_for_again(
    engine: Engine, wake_patience_s: float, again: int
) -> None:
    wanted = engine.settings.model_copy(update={"wake_patience_s": wake_patience_s})
    writes = RedisWrites(engine.client, wanted)
    assert writes.record(1, 1042, 1).wake == 1
    assert writes.record(2, 1042, 1).wake == again
    (many,) = writes.record_many([(3, 1042, 1)])
    ((confirmed, _),) = writes.record_confirmed([(4, 1042, 1)], 1)
    for reply in (many, confirmed):
        assert not isinstance(reply, RedisError)
        assert reply.wake == again


def test_writes_continue_after_a_script_flush(engine: Engine) -> None:
    client = engine.reactions
    client.react(1, 1042, "like")
    engine.client.script_flush()
    assert client.react(1, 1042, "love").status is Status.REPLACED
    engine.client.script_flush()
    assert client.react_many([(1, 1042, "wow"), (1, 1042, None)])[1].status is Status.REMOVED


def test_an_interrupted_batch_says_which_items_were_acknowledged(engine: Engine) -> None:
    """A foreign program has written a key of the wrong type for one of the posts."""
    engine.client.set("post:{43}:1043:pending", "garbage")
    with pytest.raises(BatchInterrupted, match="2 of 3") as error:
        engine.reactions.react_many([(1, 1042, "like"), (1, 1043, "like"), (1, 1044, "like")])
    statuses = [outcome and outcome.status for outcome in error.value.outcomes]
    assert statuses == [Status.ACCEPTED, None, Status.ACCEPTED]
    with pytest.raises(ScriptError):
        engine.reactions.react(1, 1043, "like")

"""Every task refuses forged arguments, and nothing changes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from sqlalchemy import text

from reactions.core.errors import InvalidArgument
from tests.hostile.forged import ENTRIES
from tests.support.engine import Engine
from tests.tasks.lane import Lane, Tasks

NAN = math.nan
POST, SHARD = 1042, 42

FORGED: list[Any] = [
    None, True, -1, 1.5, 1e308, 2**70, "", "42", "\0", "viral\n", [], {}, [[]], [None], [True],
    [-1], [100], [1.0], [2**64], ["42"], [[42]], {"42": "x"},
    [1] * 100_000, "x" * 100_000,
]  # fmt: skip
# A task accepts these: an honest message could contain them.
TAKEN: dict[str, list[Any]] = {
    "reactions.drain": [[], [1] * 100_000],
    "reactions.load": [[], [100]],
}


def names(tasks: Tasks) -> list[str]:
    return sorted(name for name in tasks.celery.tasks if name.startswith("reactions."))


def stores(engine: Engine) -> Any:
    """The contents of both stores, except the records of duties."""
    client: Any = engine.client
    with engine.database.engine.connect() as connection:
        rows = [
            connection.execute(text(statement)).all()
            for statement in (
                "SELECT * FROM reactions ORDER BY 1, 2",
                "SELECT * FROM reaction_counts ORDER BY 1, 2",
                "SELECT * FROM dead_letters",
                "SELECT * FROM deleted_posts",
            )
        ]
    return {key: client.dump(key) for key in client.keys("*")}, rows


def test_every_task_refuses_forged_arguments_and_changes_nothing(lane: Lane) -> None:
    lane.engine.reactions.react(7, POST, "like")
    before = stores(lane.engine)
    for task in names(lane.tasks):
        for value in FORGED:
            if value in TAKEN.get(task, []):
                continue
            run = lane.run(value, task=task)
            assert run.state == "FAILURE", (task, value)
            assert isinstance(run.result, InvalidArgument | TypeError)
            assert len(str(run.result)) < 400
        for args, kwargs in (
            ((), {"nonsense": 1}),
            (("regular", 1, 2, 3, 4), {}),
            (([], {}, True, "post", 1), {}),
        ):
            run = lane.run(*args, task=task, kwargs=kwargs)
            assert (run.state, type(run.result)) == ("FAILURE", TypeError), task
    lane.settle()
    assert stores(lane.engine) == before
    lane.run([SHARD])
    assert lane.engine.queries.reactions([POST]) == {POST: {7: 1}}


@pytest.mark.parametrize(
    ("task", "argument", "honest"),
    [
        ("reactions.drain", "force", [True]),
        ("reactions.drain", "space", []),
        ("reactions.load", "users", [None, [], [100]]),
        ("reactions.load", "space", []),
    ],
)
def test_a_further_argument_is_checked_too(
    lane: Lane, task: str, argument: str, honest: list[Any]
) -> None:
    lane.engine.reactions.react(7, POST, "like")
    before = stores(lane.engine)
    first = {"reactions.drain": "shards", "reactions.load": "posts"}[task]
    for value in FORGED:
        if any(type(value) is type(known) and value == known for known in honest):
            continue
        run = lane.run(task=task, kwargs={first: [], argument: value})
        assert isinstance(run.result, InvalidArgument), value
        assert run.result.argument == argument
        assert len(str(run.result)) < 400
    lane.settle()
    assert stores(lane.engine) == before


@pytest.mark.parametrize(
    "tokens",
    [
        {"42": "x" * 10_000},
        {"42": "\ud800"},
        {"42": "\N{SUPERSCRIPT TWO}"},
        {"42": "0123456789abcdef0"},
        {"42": NAN},
        {"-1": "a"},
        {"٤٢": "a"},
        {"042": "a"},
        dict.fromkeys(map(str, range(101)), "a"),
    ],
    ids=range(9),
)
def test_a_token_that_no_claim_had_is_refused_unsent(lane: Lane, tokens: Any) -> None:
    lane.engine.reactions.react(7, POST, "like")
    before = stores(lane.engine)
    run = lane.run([SHARD], tokens)
    assert isinstance(run.result, InvalidArgument)
    assert run.result.argument == "tokens"
    assert stores(lane.engine) == before


@pytest.mark.parametrize(
    "retries", [-1, -(10**400), 10**400, 1e308, NAN, math.inf, "x", "5", None, [], {}, True]
)
def test_a_forged_number_of_retries_is_a_delay_all_the_same(tasks: Tasks, retries: Any) -> None:
    longest = tasks.settings.retry_cap_s
    for _ in range(20):
        assert longest / 4 <= tasks.drain.retry_delay(retries) <= longest


def test_a_message_that_would_unfold_is_not_unpacked(lane: Lane) -> None:
    entry = next(entry for entry in ENTRIES if b'"application/x-gzip"' in entry)
    assert len(entry) < 200_000
    lane.broker.lpush("persistence", entry)
    lane.settle()
    assert lane.runs == []

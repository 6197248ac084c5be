"""The checker: it accepts correct histories, and names each violation that a test plants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given

from chaos.checker import check
from chaos.history import Fate, Kind, Operation
from chaos.register import LATE_S, READ_LATE_S, WINDOW_S
from chaos.verdict import Final, Wrong
from tests.chaos.world import Call, World, calls, newest


def write(
    began: float,
    value: str | None,
    *,
    post: int = 1,
    user: int = 7,
    answered: bool = True,
    knows: bool = True,
) -> Call:
    return Call(Kind.WRITE, post, user, value, began, began + 0.05, 0.1, answered, knows)


def look_up(began: float, *, post: int = 1, user: int = 7) -> Call:
    return Call(Kind.READ, post, user, None, began, began + 0.05, 0.1)


DAY = [
    write(1, "like"),
    look_up(2),
    write(3, "love"),
    look_up(4),
    write(5, "wow", user=8),
    write(6, "wow", post=2),
    write(7, None, post=2),
    write(8, "like", post=101, user=9, knows=False),
]
"""A quiet day: no two calls overlap."""


def wrongs(history: list[Operation], final: Final, *losses: float) -> list[Wrong]:
    return [violation.wrong for violation in check(history, final, losses).violations]


# -- correct histories -----------------------------------------------------------------------------


@given(calls())
def test_a_correct_history_has_no_violations(made: list[Call]) -> None:
    world = World.of(made)
    assert check(world.history, world.final()).violations == []


@given(calls())
def test_a_kill_of_redis_makes_no_violation_of_a_correct_history(made: list[Call]) -> None:
    world = World.of(made)
    verdict = check(world.history, world.final(), [10.0, 20.0])
    assert verdict.violations == []
    assert verdict.in_window == 0


def test_a_call_without_an_answer_may_take_effect_or_not() -> None:
    made = [write(1, "like"), write(2, "love", answered=False)]
    done = World.of(made)
    assert wrongs(done.history, done.final()) == []
    undone = World.of([made[0], replace(made[1], effect=None)])
    assert wrongs(undone.history, undone.final()) == []


def test_a_call_without_an_answer_may_take_effect_late_within_a_limit() -> None:
    late = Call(Kind.WRITE, 1, 7, "love", 2, 2 + LATE_S, 1.0, answered=False)
    world = World.of([write(1, "like"), late, write(4, "wow")])
    assert wrongs(world.history, world.final()) == []
    too_late = replace(late, effect=9.5 + LATE_S)
    world = World.of([write(1, "like"), too_late, write(4 + LATE_S, "wow")])
    assert wrongs(world.history, world.final()) == [Wrong.REORDERED]


# -- lost changes ----------------------------------------------------------------------------------


def without(final: Final, pair: tuple[int, int], row: tuple[str | None, int] | None) -> Final:
    """Replace or remove the row of this pair, with matching counts."""
    rows = {**final.rows, pair: row} if row else {k: v for k, v in final.rows.items() if k != pair}
    return World(rows=rows).final()


@given(calls())
def test_a_missing_row_is_lost(made: list[Call]) -> None:
    world = World.of(made)
    assume(any(op.version for op in world.history if op.value and op.version))
    firm = [
        op
        for op in world.history
        if op.version and world.rows[op.post, op.user] == (op.value, op.version)
    ]
    assume(firm)
    for operation in firm:
        pair = operation.post, operation.user
        assert wrongs(world.history, without(world.final(), pair, None)) == [Wrong.LOST]


def test_an_older_row_instead_of_the_last_is_lost() -> None:
    world = World.of(DAY)
    first = world.history[0]
    final = without(world.final(), (1, 7), (first.value, first.version))
    assert wrongs(world.history, final) == [Wrong.LOST]


def test_a_missing_removal_is_lost() -> None:
    world = World.of(DAY)
    wow = next(op for op in world.history if op.post == 2)
    final = without(world.final(), (2, 7), ("wow", wow.version))
    assert wrongs(world.history, final) == [Wrong.LOST]


@pytest.mark.parametrize(
    ("after", "excused"),
    [(-READ_LATE_S + 0.01, True), (WINDOW_S - 0.01, True), (WINDOW_S + 0.01, False), (-1, False)],
)
def test_only_a_write_just_before_the_kill_may_be_lost(after: float, excused: bool) -> None:
    world = World.of([write(1, "like"), write(3, "love")])
    last = newest(world)
    first = world.history[0]
    final = without(world.final(), (1, 7), (first.value, first.version))
    verdict = check(world.history, final, [last.ended + after])
    assert [violation.wrong for violation in verdict.violations] == (
        [] if excused else [Wrong.LOST]
    )
    assert verdict.in_window == excused


# -- invented changes ------------------------------------------------------------------------------


@given(calls())
def test_a_row_of_an_unwritten_pair_is_invented(made: list[Call]) -> None:
    world = World.of(made)
    world.rows[1, 66] = "like", 10**6
    assert wrongs(world.history, world.final()) == [Wrong.INVENTED]


def test_an_unwritten_value_is_invented() -> None:
    world = World.of(DAY)
    world.rows[1, 8] = "love", world.rows[1, 8][1]
    assert wrongs(world.history, world.final()) == [Wrong.INVENTED]


def test_a_version_with_the_value_of_another_is_invented() -> None:
    world = World.of(DAY)
    world.rows[1, 7] = "like", world.rows[1, 7][1]
    assert wrongs(world.history, world.final()) == [Wrong.INVENTED]


# -- order -----------------------------------------------------------------------------------------


def test_an_older_value_under_a_newer_version_is_reordered() -> None:
    world = World.of(DAY)
    world.rows[1, 7] = "like", 99
    assert wrongs(world.history, world.final()) == [Wrong.REORDERED]


def test_an_unanswered_value_from_before_is_reordered() -> None:
    world = World.of([write(1, "love", answered=False), write(20, "like")])
    world.rows[1, 7] = "love", 99
    assert wrongs(world.history, world.final()) == [Wrong.REORDERED]


def test_a_lower_version_for_a_later_call_is_reordered() -> None:
    world = World.of([write(1, "like"), write(3, "love", user=8)])
    first, second = world.history
    history = [replace(first, version=2), replace(second, version=1)]
    world.rows = {(1, 7): ("like", 2), (1, 8): ("love", 1)}
    assert wrongs(history, world.final()) == [Wrong.REORDERED]


def test_a_version_given_twice_is_duplicated() -> None:
    world = World.of([write(1, "like"), write(1.01, "love", user=8)])
    first, second = world.history
    history = [first, replace(second, version=first.version)]
    world.rows[1, 8] = "love", first.version
    assert wrongs(history, world.final()) == [Wrong.DUPLICATED]


# -- answers ---------------------------------------------------------------------------------------


@given(calls())
def test_a_read_of_an_unwritten_value_is_stale(made: list[Call]) -> None:
    """A read of a value that nobody wrote is stale."""
    world = World.of(made)
    place = next(
        (i for i, op in enumerate(world.history) if op.kind is Kind.READ and op.fate is Fate.DONE),
        None,
    )
    assume(place is not None)
    assert place is not None
    history = [*world.history]
    history[place] = replace(history[place], value="angry")
    assert wrongs(history, world.final()) == [Wrong.STALE]


def test_a_read_of_an_older_value_is_stale() -> None:
    world = World.of(DAY)
    history = [replace(op, value="like") if op.began == 4 else op for op in world.history]
    assert wrongs(history, world.final()) == [Wrong.STALE]


def test_an_empty_read_after_a_write_is_stale() -> None:
    world = World.of(DAY)
    history = [replace(op, value=None) if op.began == 2 else op for op in world.history]
    assert wrongs(history, world.final()) == [Wrong.STALE]


@pytest.mark.parametrize("previous", ["wow", None])
def test_an_outcome_with_a_wrong_previous_value_is_dishonest(previous: str | None) -> None:
    world = World.of(DAY)
    history = [replace(op, previous=previous) if op.began == 3 else op for op in world.history]
    assert wrongs(history, world.final()) == [Wrong.DISHONEST]


def test_a_refusal_by_a_live_post_is_dishonest() -> None:
    world = World.of(DAY)
    refused = replace(world.history[0], began=9, ended=9.1, fate=Fate.REFUSED, version=0)
    assert wrongs([*world.history, refused], world.final()) == [Wrong.DISHONEST]


# -- deletions -------------------------------------------------------------------------------------


def end(kind: Kind, began: float, *, post: int = 0, user: int = 0) -> Operation:
    return Operation("w", kind, user, post, None, began, began + 0.1)


def test_deleted_and_forgotten_reactions_may_be_gone() -> None:
    world = World.of(DAY)
    history = [*world.history, end(Kind.DELETE, 9, post=1), end(Kind.FORGET, 9, user=9)]
    gone = World(rows={k: v for k, v in world.rows.items() if k[0] != 1 and k[1] != 9})
    assert wrongs(history, gone.final()) == []


def test_a_row_of_a_deleted_post_is_undead() -> None:
    world = World.of(DAY)
    history = [*world.history, end(Kind.DELETE, 9, post=2)]
    assert wrongs(history, world.final()) == []  # its only row is a tombstone
    history = [*world.history, end(Kind.DELETE, 9, post=101)]
    assert wrongs(history, world.final()) == [Wrong.UNDEAD]


def test_a_deleted_post_that_accepts_a_reaction_is_undead() -> None:
    world = World.of(DAY)
    history = [*world.history, end(Kind.DELETE, 7.5, post=101)]
    gone = World(rows={k: v for k, v in world.rows.items() if k[0] != 101})
    assert wrongs(history, gone.final()) == [Wrong.UNDEAD]


def test_a_row_of_a_forgotten_user_is_undead_unless_they_came_back() -> None:
    world = World.of(DAY)
    assert wrongs([*world.history, end(Kind.FORGET, 9, user=9)], world.final()) == [Wrong.UNDEAD]
    assert wrongs([*world.history, end(Kind.FORGET, 7.5, user=9)], world.final()) == []


# -- the stores ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda f: {"counts": {**f.counts, (1, "love"): 2}}, Wrong.DUPLICATED),
        (lambda f: {"counts": {**f.counts, (1, "love"): 0}}, Wrong.DRIFT),
        (lambda f: {"counts": {**f.counts, (5, "love"): 1}}, Wrong.DUPLICATED),
        (lambda f: {"shown": {**f.shown, (1, "love"): 2}}, Wrong.DRIFT),
        (lambda f: {"shown": {**f.shown, (1, "love"): -1}}, Wrong.DRIFT),
        (lambda f: {"shown": {**f.shown, (5, "love"): 1}}, Wrong.DRIFT),
        (lambda _: {"differences": ["post 1: no"]}, Wrong.DRIFT),
        (lambda _: {"pending": 3}, Wrong.PENDING),
        (lambda _: {"dead_letters": 1}, Wrong.DEAD_LETTER),
    ],
)
def test_stores_that_differ(change: Callable[[Final], dict[str, object]], kind: Wrong) -> None:
    world = World.of(DAY)
    final = world.final()
    assert wrongs(world.history, replace(final, **change(final))) == [kind]  # type: ignore[arg-type]


def test_every_kind_of_violation_is_planted_above() -> None:
    source = Path(__file__).read_text()
    assert all(f"Wrong.{wrong.name}" in source for wrong in Wrong)

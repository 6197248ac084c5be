"""Single flight: concurrent loads of a key are one, whatever becomes of it, and leave nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from reactions.api.single_flight import SingleFlight
from tests.support.waiting import patience, wait_until

PATIENCE_S = patience(20)

Ask = Callable[[list[int]], Mapping[int, str]]


class Questions:
    """Asks that wait until they are let go, and remember what they were asked for.

    With no keys there is nothing to wait for.
    """

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.go = threading.Event()
        self.failure: BaseException | None = None

    def __call__(self, keys: list[int]) -> Mapping[int, str]:
        self.asked.append(keys)
        if not keys:
            return {}
        assert self.go.wait(PATIENCE_S)
        if self.failure is not None:
            raise self.failure
        return {key: f"value {key}" for key in keys}


def values(*keys: int) -> dict[int, str]:
    return {key: f"value {key}" for key in keys}


def at_once(keys: list[int]) -> Mapping[int, str]:
    return values(*keys)


def waiting(flight: SingleFlight[int, str], key: int) -> int:
    """How many threads wait for a key that another one asks for."""
    future = flight._flying.get(key)
    return 0 if future is None else len(future._condition._waiters)  # type: ignore[attr-defined]


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def flight() -> Iterator[SingleFlight[int, str]]:
    """Whatever a test does, no key stays taken."""
    flight: SingleFlight[int, str] = SingleFlight()
    yield flight
    assert flight._flying == {}
    assert flight.load([1, 2, 3], at_once, 0.0) == values(1, 2, 3)


def test_concurrent_threads_share_one_load(flight: SingleFlight[int, str]) -> None:
    questions = Questions()
    with threads() as pool:
        found = [pool.submit(flight.load, [7], questions, PATIENCE_S) for _ in range(16)]
        wait_until(lambda: waiting(flight, 7) == 15, what="fifteen threads to join the first")
        questions.go.set()
        assert [future.result(PATIENCE_S) for future in found] == [values(7)] * 16
    # The fifteen had nothing of their own to ask for, and asked for that.
    assert sorted(questions.asked) == [[]] * 15 + [[7]]


def test_overlapping_keys_are_loaded_once(flight: SingleFlight[int, str]) -> None:
    first = Questions()
    asked: list[list[int]] = []

    def second(keys: list[int]) -> Mapping[int, str]:
        asked.append(keys)
        return values(*keys)

    with threads() as pool:
        one = pool.submit(flight.load, [1, 2], first, PATIENCE_S)
        wait_until(lambda: first.asked, what="the first to ask")
        two = pool.submit(flight.load, [3, 2, 4], second, PATIENCE_S)
        wait_until(lambda: waiting(flight, 2) == 1, what="the second to join")
        first.go.set()
        assert one.result(PATIENCE_S) == values(1, 2)
        assert two.result(PATIENCE_S) == values(2, 3, 4)
    assert (first.asked, asked) == ([[1, 2]], [[3, 4]])


def test_consecutive_calls_load_again(flight: SingleFlight[int, str]) -> None:
    asked: list[list[int]] = []

    def ask(keys: list[int]) -> Mapping[int, str]:
        asked.append(keys)
        return {key: f"answer {len(asked)}" for key in keys}

    assert flight.load([1], ask, 0.0) == {1: "answer 1"}
    assert flight.load([1], ask, 0.0) == {1: "answer 2"}
    assert asked == [[1], [1]]


@pytest.mark.parametrize("keys", [[], [5, 5, 5], (5, 6, 5), {5}])
def test_any_collection_of_keys(flight: SingleFlight[int, str], keys: Collection[int]) -> None:
    asked: list[list[int]] = []

    def ask(mine: list[int]) -> Mapping[int, str]:
        asked.append(mine)
        return values(*mine)

    assert flight.load(keys, ask, 0.0) == values(*keys)
    assert asked == [list(dict.fromkeys(keys))]  # also with none: it may have more to do


def test_an_error_reaches_all_waiting_threads_and_frees_the_key(
    flight: SingleFlight[int, str],
) -> None:
    questions = Questions()
    questions.failure = RuntimeError("gone")
    with threads() as pool:
        first = pool.submit(flight.load, [7], questions, PATIENCE_S)
        wait_until(lambda: questions.asked, what="the first to ask")
        others = [pool.submit(flight.load, [7], at_once, PATIENCE_S) for _ in range(7)]
        wait_until(lambda: waiting(flight, 7) == 7, what="all to join")
        questions.go.set()
        for future in (first, *others):
            with pytest.raises(RuntimeError, match="gone"):
                future.result(PATIENCE_S)
    assert flight.load([7], at_once, 0.0) == values(7)


def test_an_error_does_not_affect_the_keys_of_other_threads(flight: SingleFlight[int, str]) -> None:
    questions = Questions()

    def fail(_: list[int]) -> Mapping[int, str]:
        raise RuntimeError("gone")

    with threads() as pool:
        first = pool.submit(flight.load, [1], questions, PATIENCE_S)
        wait_until(lambda: questions.asked, what="the first to ask")
        with pytest.raises(RuntimeError, match="gone"):
            flight.load([1, 2], fail, PATIENCE_S)
        assert flight.load([2], at_once, 0.0) == values(2)
        questions.go.set()
        assert first.result(PATIENCE_S) == values(1)


def test_a_load_that_lacks_a_key_raises(
    flight: SingleFlight[int, str],
) -> None:
    with pytest.raises(KeyError):
        flight.load([1, 2], lambda _: {1: "value 1"}, 0.0)


def test_a_stopped_thread_does_not_stop_the_waiting_threads(
    flight: SingleFlight[int, str],
) -> None:
    """SystemExit, or what a worker kills its greenlet with, was not meant for the others."""
    questions = Questions()
    questions.failure = SystemExit("this thread only")
    with threads() as pool:
        first = pool.submit(flight.load, [7], questions, PATIENCE_S)
        wait_until(lambda: questions.asked, what="the first to ask")
        other = pool.submit(flight.load, [7], at_once, PATIENCE_S)
        wait_until(lambda: waiting(flight, 7) == 1, what="the other to join")
        questions.go.set()
        assert isinstance(first.exception(PATIENCE_S), SystemExit)
        failure = other.exception(PATIENCE_S)
        assert failure is None or isinstance(failure, Exception)


def test_a_waiting_thread_times_out(flight: SingleFlight[int, str]) -> None:
    questions = Questions()
    with threads() as pool:
        first = pool.submit(flight.load, [1], questions, PATIENCE_S)
        wait_until(lambda: questions.asked, what="the first to ask")
        with pytest.raises(TimeoutError):
            flight.load([1, 2], at_once, 0.01)
        # Its own keys are free again, and the slow one goes on.
        assert flight.load([2], at_once, 0.0) == values(2)
        assert waiting(flight, 1) == 0
        questions.go.set()
        assert first.result(PATIENCE_S) == values(1)


def test_threads_that_wait_for_each_other_do_not_hang(flight: SingleFlight[int, str]) -> None:
    """Each asks for its own before it waits for the other's."""
    first, second = Questions(), Questions()
    with threads() as pool:
        one = pool.submit(flight.load, [1], first, PATIENCE_S)
        wait_until(lambda: first.asked, what="the first to ask")
        two = pool.submit(flight.load, [2, 1], second, PATIENCE_S)
        wait_until(lambda: second.asked, what="the second to ask")
        three = pool.submit(flight.load, [1, 2, 3], at_once, PATIENCE_S)
        wait_until(lambda: waiting(flight, 1) == 1, what="the third to wait for the first")
        second.go.set()
        first.go.set()
        assert one.result(PATIENCE_S) == values(1)
        assert two.result(PATIENCE_S) == values(1, 2)
        assert three.result(PATIENCE_S) == values(1, 2, 3)


def test_many_threads_leave_nothing_behind(flight: SingleFlight[int, str]) -> None:
    """Many threads, a few keys, some failures: answers are right, and errors are their own."""

    def play(seed: int) -> None:
        for turn in range(200):
            keys = [(seed + turn) % 5, (seed * turn) % 5]

            def ask(mine: list[int], *, broken: bool = turn % 7 == 0) -> Mapping[int, str]:
                if broken:
                    raise LookupError("as arranged")
                return values(*mine)

            try:
                assert flight.load(keys, ask, PATIENCE_S) == values(*keys)
            except LookupError as error:
                assert str(error) == "as arranged"  # noqa: PT017 - its absence is no failure

    with threads() as pool:
        for future in [pool.submit(play, seed) for seed in range(16)]:
            future.result(PATIENCE_S)

"""``SingleFlight``: concurrent loads of a key run once, and leave nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from reactions.api.single_flight import SingleFlight
from tests.support.waiting import patience, wait_until

PATIENCE_S = patience(20)

Query = Callable[[list[int]], Mapping[int, str]]


class SlowQuery:
    """A query that waits for ``go``, and records its keys. Without keys it returns at once."""

    def __init__(self) -> None:
        self.queried: list[list[int]] = []
        self.go = threading.Event()
        self.failure: BaseException | None = None

    def __call__(self, keys: list[int]) -> Mapping[int, str]:
        self.queried.append(keys)
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
    """Return how many threads wait for a key that another thread loads."""
    future = flight._flying.get(key)
    return 0 if future is None else len(future._condition._waiters)  # type: ignore[attr-defined]


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def flight() -> Iterator[SingleFlight[int, str]]:
    """Check that no key stays taken, whatever a test does."""
    flight: SingleFlight[int, str] = SingleFlight()
    yield flight
    assert flight._flying == {}
    assert flight.load([1, 2, 3], at_once, 0.0) == values(1, 2, 3)


def test_concurrent_threads_share_one_load(flight: SingleFlight[int, str]) -> None:
    slow = SlowQuery()
    with threads() as pool:
        found = [pool.submit(flight.load, [7], slow, PATIENCE_S) for _ in range(16)]
        wait_until(lambda: waiting(flight, 7) == 15, what="fifteen threads to join the first")
        slow.go.set()
        assert [future.result(PATIENCE_S) for future in found] == [values(7)] * 16
    # The fifteen had no keys of their own, and called their query without keys.
    assert sorted(slow.queried) == [[]] * 15 + [[7]]


def test_overlapping_keys_are_loaded_once(flight: SingleFlight[int, str]) -> None:
    first = SlowQuery()
    queried: list[list[int]] = []

    def second(keys: list[int]) -> Mapping[int, str]:
        queried.append(keys)
        return values(*keys)

    with threads() as pool:
        one = pool.submit(flight.load, [1, 2], first, PATIENCE_S)
        wait_until(lambda: first.queried, what="the first query")
        two = pool.submit(flight.load, [3, 2, 4], second, PATIENCE_S)
        wait_until(lambda: waiting(flight, 2) == 1, what="the second to join")
        first.go.set()
        assert one.result(PATIENCE_S) == values(1, 2)
        assert two.result(PATIENCE_S) == values(2, 3, 4)
    assert (first.queried, queried) == ([[1, 2]], [[3, 4]])


def test_consecutive_calls_load_again(flight: SingleFlight[int, str]) -> None:
    queried: list[list[int]] = []

    def query(keys: list[int]) -> Mapping[int, str]:
        queried.append(keys)
        return {key: f"answer {len(queried)}" for key in keys}

    assert flight.load([1], query, 0.0) == {1: "answer 1"}
    assert flight.load([1], query, 0.0) == {1: "answer 2"}
    assert queried == [[1], [1]]


@pytest.mark.parametrize("keys", [[], [5, 5, 5], (5, 6, 5), {5}])
def test_any_collection_of_keys(flight: SingleFlight[int, str], keys: Collection[int]) -> None:
    queried: list[list[int]] = []

    def query(mine: list[int]) -> Mapping[int, str]:
        queried.append(mine)
        return values(*mine)

    assert flight.load(keys, query, 0.0) == values(*keys)
    assert queried == [list(dict.fromkeys(keys))]  # called even without keys


def test_an_error_reaches_all_waiting_threads_and_frees_the_key(
    flight: SingleFlight[int, str],
) -> None:
    slow = SlowQuery()
    slow.failure = RuntimeError("gone")
    with threads() as pool:
        first = pool.submit(flight.load, [7], slow, PATIENCE_S)
        wait_until(lambda: slow.queried, what="the first query")
        others = [pool.submit(flight.load, [7], at_once, PATIENCE_S) for _ in range(7)]
        wait_until(lambda: waiting(flight, 7) == 7, what="all to join")
        slow.go.set()
        for future in (first, *others):
            with pytest.raises(RuntimeError, match="gone"):
                future.result(PATIENCE_S)
    assert flight.load([7], at_once, 0.0) == values(7)


def test_an_error_does_not_affect_the_keys_of_other_threads(flight: SingleFlight[int, str]) -> None:
    slow = SlowQuery()

    def fail(_: list[int]) -> Mapping[int, str]:
        raise RuntimeError("gone")

    with threads() as pool:
        first = pool.submit(flight.load, [1], slow, PATIENCE_S)
        wait_until(lambda: slow.queried, what="the first query")
        with pytest.raises(RuntimeError, match="gone"):
            flight.load([1, 2], fail, PATIENCE_S)
        assert flight.load([2], at_once, 0.0) == values(2)
        slow.go.set()
        assert first.result(PATIENCE_S) == values(1)


def test_a_load_that_lacks_a_key_raises(flight: SingleFlight[int, str]) -> None:
    with pytest.raises(KeyError):
        flight.load([1, 2], lambda _: {1: "value 1"}, 0.0)


def test_a_stopped_thread_does_not_stop_the_waiting_threads(flight: SingleFlight[int, str]) -> None:
    """SystemExit, or the exception that kills a greenlet, ends one thread only."""
    slow = SlowQuery()
    slow.failure = SystemExit("this thread only")
    with threads() as pool:
        first = pool.submit(flight.load, [7], slow, PATIENCE_S)
        wait_until(lambda: slow.queried, what="the first query")
        other = pool.submit(flight.load, [7], at_once, PATIENCE_S)
        wait_until(lambda: waiting(flight, 7) == 1, what="the other to join")
        slow.go.set()
        assert isinstance(first.exception(PATIENCE_S), SystemExit)
        failure = other.exception(PATIENCE_S)
        assert failure is None or isinstance(failure, Exception)


def test_a_waiting_thread_times_out(flight: SingleFlight[int, str]) -> None:
    slow = SlowQuery()
    with threads() as pool:
        first = pool.submit(flight.load, [1], slow, PATIENCE_S)
        wait_until(lambda: slow.queried, what="the first query")
        with pytest.raises(TimeoutError):
            flight.load([1, 2], at_once, 0.01)
        # Its own keys are free again, and the slow query continues.
        assert flight.load([2], at_once, 0.0) == values(2)
        assert waiting(flight, 1) == 0
        slow.go.set()
        assert first.result(PATIENCE_S) == values(1)


def test_threads_that_wait_for_each_other_do_not_hang(flight: SingleFlight[int, str]) -> None:
    """Each thread runs its own query before it waits for another one."""
    first, second = SlowQuery(), SlowQuery()
    with threads() as pool:
        one = pool.submit(flight.load, [1], first, PATIENCE_S)
        wait_until(lambda: first.queried, what="the first query")
        two = pool.submit(flight.load, [2, 1], second, PATIENCE_S)
        wait_until(lambda: second.queried, what="the second query")
        three = pool.submit(flight.load, [1, 2, 3], at_once, PATIENCE_S)
        wait_until(lambda: waiting(flight, 1) == 1, what="the third to wait for the first")
        second.go.set()
        first.go.set()
        assert one.result(PATIENCE_S) == values(1)
        assert two.result(PATIENCE_S) == values(1, 2)
        assert three.result(PATIENCE_S) == values(1, 2, 3)


def test_many_threads_leave_nothing_behind(flight: SingleFlight[int, str]) -> None:
    """With many threads, few keys and some failures, every answer is right."""

    def play(seed: int) -> None:
        for turn in range(200):
            keys = [(seed + turn) % 5, (seed * turn) % 5]

            def query(mine: list[int], *, broken: bool = turn % 7 == 0) -> Mapping[int, str]:
                if broken:
                    raise LookupError("as arranged")
                return values(*mine)

            try:
                assert flight.load(keys, query, PATIENCE_S) == values(*keys)
            except LookupError as error:
                assert str(error) == "as arranged"  # noqa: PT017 - its absence is no failure

    with threads() as pool:
        for future in [pool.submit(play, seed) for seed in range(16)]:
            future.result(PATIENCE_S)

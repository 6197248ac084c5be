"""Every public function answers a hostile argument, or refuses it and changes nothing."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import is_dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

import reactions
from reactions import Reactions, ReactionsError, Settings
from reactions.api.client import MAX_PAGE, MAX_SUMMARIES
from reactions.api.relay import Relay
from reactions.core.constants import DEFAULT_SPACE, MAX_ID, MAX_REPLICAS, SAMPLE_SIZE
from reactions.core.errors import InvalidArgument, NotReplicated
from reactions.demo.embedded import Postgres, Valkey
from tests.hostile.values import ANYTHING, MAKERS
from tests.support.databases import own_database
from tests.support.engine import DEAD_BROKER
from tests.support.profiles import examples
from tests.support.types import write_default_types
from tests.support.waiting import bounded

pytestmark = pytest.mark.slow

LONGEST = 400  # characters of any message
SLOW_S = 2.0  # far above the time of any call, even on a busy machine

# Argument -> valid values, so that a call has one hostile argument and valid others.
IDS = st.integers(1, MAX_ID)
NAMES = st.sampled_from(list(Settings().reaction_types))
GOOD: Mapping[str, st.SearchStrategy[Any]] = {
    "user_id": IDS,
    "post_id": IDS,
    "post_ids": st.lists(IDS, max_size=3),
    "reaction": NAMES,
    "items": st.lists(st.tuples(IDS, IDS, NAMES | st.none()), max_size=3),
    "limit": st.integers(1, 20),
    "cursor": st.none(),
    "replicas": st.just(0),
    "name": st.just(DEFAULT_SPACE),
}
ACCEPTED: Mapping[str, Callable[[Any], bool]] = {
    "user_id": lambda value: type(value) is int and 1 <= value <= MAX_ID,
    "post_id": lambda value: type(value) is int and 1 <= value <= MAX_ID,
    "reaction": lambda value: type(value) is str and value in Settings().reaction_types,
    "limit": lambda value: type(value) is int and 1 <= value <= SAMPLE_SIZE,
    "cursor": lambda value: value is None,
    "replicas": lambda value: type(value) is int and 0 <= value <= MAX_REPLICAS,
    "name": lambda value: type(value) is str and value == DEFAULT_SPACE,
}
"""Whether a function may accept a value. Iterables are not here: they hold other arguments."""

MAY_BE_NONE = {("summaries", "user_id"), ("reactors", "reaction")}

NO_ARGUMENTS = {"close", "relay_stats", "types", "default_client"}
VALUES = {"Counts", "Status", "Tier"}  # the library makes them, like dataclasses and errors


def public() -> dict[str, tuple[str, ...]]:
    """Function -> its arguments. Check that every other public name needs no fuzzing."""
    found = {}
    for name in reactions.__all__:
        thing = getattr(reactions, name)
        if inspect.isfunction(thing):
            found[name] = tuple(inspect.signature(thing).parameters)
        else:
            assert (
                name in VALUES
                or thing in (Reactions, Settings)
                or is_dataclass(thing)
                or issubclass(thing, ReactionsError | enum.Enum)
            ), f"{name} is public, and no test fuzzes it"
    methods = inspect.getmembers(Reactions, inspect.isfunction)
    for name, method in methods:
        if not name.startswith("_"):
            found[f"Reactions.{name}"] = tuple(inspect.signature(method).parameters)[1:]
    return found


PUBLIC = public()
FUZZED = [(name, argument) for name, arguments in PUBLIC.items() for argument in arguments]


@pytest.fixture(scope="module")
def client(valkey: Valkey, postgres: Postgres) -> Iterator[Reactions]:
    """A client, which the functions of the module use too."""
    with own_database(postgres.url) as url:
        settings = Settings(
            redis_url=valkey.url, database_url=url, broker_url=DEAD_BROKER, replica_timeout_s=0.01
        )
        with Reactions(settings) as made, pytest.MonkeyPatch.context() as patch:
            patch.setattr("reactions.api.default._client", made)
            write_default_types(made._client)
            assert made.reaction_types  # the first call reads them, whatever its arguments
            # The relay asks Redis on its own, in a thread of its own.
            patch.setattr(Relay, "_forget_answered", lambda *_: None)
            yield made


class Witness:
    """Counts the commands that Redis received."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        redis.set_response_callback("INFO", lambda reply, **_: reply)  # redis-py parses all of it

    def sent(self) -> dict[bytes, bytes]:
        stats: Any = self._redis.info("commandstats")
        found = re.findall(rb"cmdstat_(\S+?):calls=(\d+)", stats)
        return {name: calls for name, calls in found if name != b"info"}


@pytest.fixture(scope="module")
def witness(valkey: Valkey) -> Iterator[Witness]:
    with Redis(port=valkey.port) as redis:
        yield Witness(redis)


def bound(client: Reactions, name: str) -> Callable[..., Any]:
    method = name.removeprefix("Reactions.")
    return getattr(client if method != name else reactions, method)  # type: ignore[no-any-return]


def test_every_public_function_is_fuzzed() -> None:
    assert {argument for _, argument in FUZZED} == GOOD.keys()
    assert {name.removeprefix("Reactions.") for name, args in PUBLIC.items() if not args} == (
        NO_ARGUMENTS
    )
    assert GOOD.keys() - ACCEPTED.keys() == {"post_ids", "items"}
    assert MAX_SUMMARIES == MAX_PAGE == 200


def check_refused(error: InvalidArgument, argument: str) -> None:
    # An error about an iterable may name one of its items; one about a name says of what.
    inside = {
        "post_ids": {"post_ids"},
        "items": {"items", "user_id", "post_id", "reaction"},
        "name": {"space"},
    }
    assert error.argument in inside.get(argument, {argument})
    message = str(error)
    assert message.startswith(f"{error.argument} must be {error.allowed}, not ")
    assert len(message) <= LONGEST
    assert message.isprintable()
    message.encode()


@pytest.mark.parametrize(("name", "argument"), FUZZED, ids=lambda part: part)
def test_a_hostile_argument_is_refused_and_leaves_no_trace(
    name: str, argument: str, client: Reactions, witness: Witness
) -> None:
    call = bound(client, name)

    @settings(
        deadline=None,
        max_examples=examples(40),
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        hostile = data.draw(ANYTHING)
        given_ = {other: data.draw(GOOD[other]) for other in PUBLIC[name]}
        attempt(call, name, argument, given_ | {argument: hostile}, witness)

    for make in MAKERS:
        good = {other: ONE[other] for other in PUBLIC[name]}
        attempt(call, name, argument, good | {argument: make()}, witness)
    if name.startswith("Reactions."):  # the functions of the module call these
        fuzz()


ONE: Mapping[str, Any] = {
    "user_id": 7,
    "post_id": 1042,
    "post_ids": [1042],
    "reaction": "like",
    "items": [(7, 1042, "like")],
    "limit": 2,
    "cursor": None,
    "replicas": 0,
    "name": DEFAULT_SPACE,
}


def attempt(
    call: Callable[..., Any],
    name: str,
    argument: str,
    arguments: dict[str, Any],
    witness: Witness,
) -> None:
    value = arguments[argument]
    method = name.removeprefix("Reactions.")
    before = witness.sent()
    try:
        with bounded(SLOW_S), suppress(NotReplicated):  # there is no replica
            call(**arguments)
    except InvalidArgument as error:
        check_refused(error, argument)
        assert witness.sent() == before, "Redis received a command"
    else:
        fits = ACCEPTED.get(argument, lambda _: True)
        assert fits(value) or (value is None and (method, argument) in MAY_BE_NONE)


def failing() -> Iterator[Any]:
    yield (1, 1042, "like")
    raise LookupError("the caller's own")


@pytest.mark.parametrize("name", ["Reactions.react_many", "Reactions.summaries"])
def test_an_error_of_an_iterable_reaches_the_caller_and_nothing_is_sent(
    name: str, client: Reactions, witness: Witness
) -> None:
    before = witness.sent()
    with pytest.raises(LookupError, match="the caller's own"):
        bound(client, name)(failing())
    assert witness.sent() == before


@pytest.mark.parametrize("value", [b"\1\2", bytearray(b"\1\2"), memoryview(b"\1\2"), "12"])
def test_bytes_are_not_a_list_of_posts(client: Reactions, value: Any) -> None:
    with pytest.raises(InvalidArgument, match="post_ids must be an iterable of post ids"):
        client.summaries(value)


@pytest.mark.parametrize("make", MAKERS, ids=range(len(MAKERS)))
def test_a_client_accepts_only_settings(make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Reactions(make())
    check_refused(caught.value, "settings")


@pytest.mark.parametrize("value", [0, "", False, [], {}])
def test_a_false_value_is_not_settings(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="settings must be"):
        Reactions(value)


def test_a_refusal_of_a_type_is_short_even_with_many_types() -> None:
    many = Settings(reaction_types=[f"a_reaction_with_a_long_name_{n}" for n in range(127)])
    with Reactions(many) as client, pytest.raises(InvalidArgument) as caught:
        client.react(1, 1, "like")
    check_refused(caught.value, "reaction")

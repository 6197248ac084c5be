"""The asynchronous client does what the synchronous one does: the same tests, the same methods."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
import uvloop

import reactions
import reactions.aio
from reactions.core.settings import Settings
from tests.aio.facade import InLoop
from tests.api import (
    test_cold_reads,
    test_feeds,
    test_lists,
    test_lists_history,
    test_lists_recent,
    test_lists_uniques,
    test_read_outages,
    test_read_your_writes,
    test_type_display,
    test_write,
)
from tests.support import reading

SAME = (
    test_cold_reads,
    test_feeds,
    test_lists,
    test_lists_history,
    test_lists_recent,
    test_lists_uniques,
    test_read_outages,
    test_read_your_writes,
    test_type_display,
    test_write,
)
"""Modules whose tests run here on the asynchronous client, by the fixtures of this folder."""

ELSEWHERE = {"test_concurrent_misses_of_a_cold_post_are_one_query"}
"""They look into threads, which do not exist here; ``test_threads.py`` has their twins."""

for _module in SAME:
    _stem = _module.__name__.rpartition(".test_")[2]
    for _name, _found in vars(_module).items():
        if _name in ELSEWHERE:
            continue
        if _name.startswith("test_") and inspect.isfunction(_found):
            globals()[f"test_{_stem}__{_name.removeprefix('test_')}"] = _found
        elif type(_found).__name__ == "FixtureFunctionDefinition":
            globals()[_name] = _found


@pytest.fixture(autouse=True)
def asynchronous(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where those tests make a client of their own, it is an asynchronous one, too."""
    for module in (*SAME, reading):
        if hasattr(module, "Reactions"):
            monkeypatch.setattr(module, "Reactions", InLoop)


def public(kind: type) -> dict[str, Any]:
    return {name: found for name, found in vars(kind).items() if not name.startswith("_")}


def test_both_clients_have_the_same_methods_and_arguments() -> None:
    plain, twin = public(reactions.Reactions), public(reactions.aio.Reactions)
    assert set(twin) == {*plain, "run"}
    for name, method in plain.items():
        if isinstance(method, property):
            assert isinstance(twin[name], property)
            continue
        if name == "space":  # it sends nothing, and returns a client of its own kind
            assert list(inspect.signature(twin[name]).parameters) == ["self", "name"]
            continue
        assert inspect.iscoroutinefunction(twin[name]), name
        assert inspect.signature(method) == inspect.signature(twin[name]), name
        if name != "close":
            assert twin[name].__doc__ == method.__doc__


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_client_may_serve_one_loop_after_the_other(run: Any, settings: Settings) -> None:
    client = reactions.aio.Reactions(settings)

    async def use() -> tuple[reactions.Status, Any]:
        outcome = await client.react(1, 1042, "like")
        return outcome.status, await client.reaction_types

    assert run(use())[0] is reactions.Status.ACCEPTED
    status, types = run(use())
    assert status is reactions.Status.UNCHANGED
    assert types == settings.reaction_types
    run(client.close())


def test_settings_are_checked_as_by_the_synchronous_client() -> None:
    wrong: Any = {"redis_url": "redis://h/0"}
    with pytest.raises(reactions.InvalidArgument, match="settings"):
        reactions.aio.Reactions(wrong)
    with pytest.raises(reactions.InvalidSettings, match="redis_url has the option"):
        reactions.aio.Reactions(Settings(redis_url="redis://h/0?nonsense=1"))

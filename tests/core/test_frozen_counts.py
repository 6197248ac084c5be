"""Counts that nobody can change, and that are a dict for everything that reads them."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from reactions.core.frozen_counts import FrozenCounts

COUNTS = {"like": 3, "love": 0}


def test_it_reads_as_a_dict() -> None:
    counts = FrozenCounts(COUNTS)
    assert counts == COUNTS
    assert json.loads(json.dumps(counts)) == COUNTS
    assert {**counts} == COUNTS
    assert list(counts) == ["like", "love"]


def _pickled(counts: FrozenCounts) -> Any:
    return pickle.loads(pickle.dumps(counts))  # noqa: S301 - what this test has just written


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, _pickled])
def test_a_duplicate_is_frozen_too(duplicate: Callable[[FrozenCounts], FrozenCounts]) -> None:
    twin = duplicate(FrozenCounts(COUNTS))
    assert twin == COUNTS
    assert type(twin) is FrozenCounts


def test_a_copy_of_the_callers_own_can_be_changed() -> None:
    counts = FrozenCounts(COUNTS)
    for own in (dict(counts), counts.copy(), counts | {}):
        own["like"] = 9
    assert counts == COUNTS


CHANGES: dict[str, Callable[[Any], object]] = {
    "set": lambda counts: counts.__setitem__("like", 9),
    "delete": lambda counts: counts.__delitem__("like"),
    "clear": lambda counts: counts.clear(),
    "pop": lambda counts: counts.pop("like"),
    "popitem": lambda counts: counts.popitem(),
    "setdefault": lambda counts: counts.setdefault("new", 1),
    "update": lambda counts: counts.update(like=9),
    "or": lambda counts: counts.__ior__({"like": 9}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_changes_it(change: str) -> None:
    counts = FrozenCounts(COUNTS)
    with pytest.raises(TypeError, match="dict\\(counts\\)"):
        CHANGES[change](counts)
    assert counts == COUNTS

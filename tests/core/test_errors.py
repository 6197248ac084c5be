"""Errors travel between processes."""

from __future__ import annotations

import pickle

import pytest

import reactions
from reactions import InvalidArgument, ReactionsUnavailable
from reactions.core.errors import BatchInterrupted, LayoutMismatch, ScriptError


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("user_id", "a number", "x"),
        ReactionsUnavailable("redis", "gone"),
        BatchInterrupted("cut", [None]),
        LayoutMismatch("too new", "install the newer one"),
        ScriptError("broken"),
    ],
)
def test_errors_can_be_pickled(error: reactions.ReactionsError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))

"""The module-level functions and their default client."""

from __future__ import annotations

import os
import signal

import pytest

import reactions
from reactions import Status
from reactions.core.settings import Settings


def test_a_fork_while_another_thread_creates_the_default_client_does_not_hang() -> None:
    from reactions.api import default

    with default._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            with default._lock:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


def test_the_module_functions_use_a_client_from_the_environment(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("reactions.api.default._client", None)
    assert reactions.react(1, 1042, "like").status is Status.ACCEPTED
    assert reactions.react_many([(2, 1042, "like")])[0].status is Status.ACCEPTED
    assert reactions.unreact(2, 1042).status is Status.REMOVED
    assert reactions.counts(1042)["like"] == 1
    assert reactions.default_client() is reactions.default_client()
    reactions.default_client().close()

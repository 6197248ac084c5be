"""The module-level functions: the client's methods on a default client from the environment."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

from reactions.api import Reactions
from reactions.model import Counts, Outcome

_lock = threading.Lock()
_client: Reactions | None = None


def _renew_lock() -> None:
    """Another thread may have held it when the process forked."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def default_client() -> Reactions:
    """The default client, configured from the environment at its first use."""
    global _client
    if _client is None:
        with _lock:
            if _client is None:
                _client = Reactions()
    return _client


def react(user_id: int, post_id: int, reaction: str) -> Outcome:
    """``Reactions.react`` on the default client."""
    return default_client().react(user_id, post_id, reaction)


def unreact(user_id: int, post_id: int) -> Outcome:
    """``Reactions.unreact`` on the default client."""
    return default_client().unreact(user_id, post_id)


def react_many(items: Iterable[tuple[int, int, str | None]]) -> list[Outcome]:
    """``Reactions.react_many`` on the default client."""
    return default_client().react_many(items)


def counts(post_id: int) -> Counts:
    """``Reactions.counts`` on the default client."""
    return default_client().counts(post_id)

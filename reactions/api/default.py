"""The module-level functions: methods of a default client that the environment configures."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from reactions.api.client import Reactions
from reactions.core.model import Counts, Outcome, Page, Reacted, Reactor, Summary

F = TypeVar("F", bound=Callable[..., object])

_lock = threading.Lock()
_client: Reactions | None = None


def _renew_lock() -> None:
    """Replace the lock in a forked child: another thread may have held it during the fork."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def default_client() -> Reactions:
    """Return the default client. The first call creates it from the environment.

    Raises:
        InvalidSettings: the configuration is not valid.
        ReactionsUnavailable: no node of the cluster answers.
    """
    global _client
    if _client is None:
        with _lock:
            if _client is None:
                _client = Reactions()
    return _client


def _documented(function: F) -> F:
    """Give a function the docstring of the client's method, for ``help()``."""
    function.__doc__ = getattr(Reactions, function.__name__).__doc__
    return function


@_documented
def react(user_id: int, post_id: int, reaction: str, *, replicas: int = 0) -> Outcome:
    """``Reactions.react`` on the default client."""
    return default_client().react(user_id, post_id, reaction, replicas=replicas)


@_documented
def unreact(user_id: int, post_id: int, *, replicas: int = 0) -> Outcome:
    """``Reactions.unreact`` on the default client."""
    return default_client().unreact(user_id, post_id, replicas=replicas)


@_documented
def react_many(items: Iterable[tuple[int, int, str | None]], *, replicas: int = 0) -> list[Outcome]:
    """``Reactions.react_many`` on the default client."""
    return default_client().react_many(items, replicas=replicas)


@_documented
def counts(post_id: int) -> Counts:
    """``Reactions.counts`` on the default client."""
    return default_client().counts(post_id)


@_documented
def summaries(post_ids: Iterable[int], user_id: int | None = None) -> list[Summary]:
    """``Reactions.summaries`` on the default client."""
    return default_client().summaries(post_ids, user_id)


@_documented
def reaction_of(user_id: int, post_id: int) -> str | None:
    """``Reactions.reaction_of`` on the default client."""
    return default_client().reaction_of(user_id, post_id)


@_documented
def reactors(
    post_id: int, reaction: str | None = None, limit: int = 50, cursor: str | None = None
) -> Page[Reactor]:
    """``Reactions.reactors`` on the default client."""
    return default_client().reactors(post_id, reaction, limit, cursor)


@_documented
def recent(post_id: int, limit: int = 20) -> list[Reactor]:
    """``Reactions.recent`` on the default client."""
    return default_client().recent(post_id, limit)


@_documented
def history(user_id: int, limit: int = 50, cursor: str | None = None) -> Page[Reacted]:
    """``Reactions.history`` on the default client."""
    return default_client().history(user_id, limit, cursor)


@_documented
def uniques(post_id: int) -> int:
    """``Reactions.uniques`` on the default client."""
    return default_client().uniques(post_id)


@_documented
def warm(post_ids: Iterable[int]) -> None:
    """``Reactions.warm`` on the default client."""
    default_client().warm(post_ids)


@_documented
def delete_post(post_id: int) -> None:
    """``Reactions.delete_post`` on the default client."""
    default_client().delete_post(post_id)


@_documented
def forget_user(user_id: int) -> None:
    """``Reactions.forget_user`` on the default client."""
    default_client().forget_user(user_id)

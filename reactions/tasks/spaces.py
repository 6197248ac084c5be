"""Runs a duty in every space. One beat and one fleet of workers serve all of them."""

from __future__ import annotations

import logging
from collections.abc import Callable

from reactions.tasks.app import Worker, settings, worker

log = logging.getLogger(__name__)


def in_each_space(duty: Callable[[Worker], object]) -> None:
    """Run a duty in each space, the default one first.

    A space in which it fails does not stop the others.

    Raises:
        Exception: the first failure, after the duty ran in all spaces.
    """
    failures: list[Exception] = []
    for space in settings.space_names:
        try:
            duty(worker(space))
        except Exception as error:
            if len(settings.space_names) == 1:
                raise
            log.warning("a duty failed in the space %s: %s", space, error)
            failures.append(error)
    if failures:
        raise failures[0]


def space_of(own: Worker) -> dict[str, str]:
    """Return the argument of a message that names the space; none in the default space."""
    return {} if own.settings is settings else {"space": own.settings.space}

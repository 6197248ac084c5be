"""The engine under a like button.

``react()`` answers from one Redis script; Celery carries the change into PostgreSQL, exactly.
"""

from reactions.api import Reactions
from reactions.default import counts, default_client, react, react_many, unreact
from reactions.errors import (
    BatchInterrupted,
    InvalidArgument,
    InvalidSettings,
    ReactionsError,
    ReactionsUnavailable,
    ScriptError,
    TypesMismatch,
)
from reactions.model import Counts, Outcome, RelayStats, Status
from reactions.settings import Settings

__all__ = [
    "BatchInterrupted",
    "Counts",
    "InvalidArgument",
    "InvalidSettings",
    "Outcome",
    "Reactions",
    "ReactionsError",
    "ReactionsUnavailable",
    "RelayStats",
    "ScriptError",
    "Settings",
    "Status",
    "TypesMismatch",
    "counts",
    "default_client",
    "react",
    "react_many",
    "unreact",
]

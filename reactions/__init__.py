"""The engine under a like button.

``react()`` answers from one Redis script; Celery carries the change into PostgreSQL, exactly.
"""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m reactions` imports this before it can catch anything
    from reactions_command import answer_interrupts

    answer_interrupts()

from reactions.api.client import Reactions
from reactions.api.default import (
    counts,
    default_client,
    delete_post,
    forget_user,
    history,
    react,
    react_many,
    reaction_of,
    reactors,
    recent,
    summaries,
    uniques,
    unreact,
    warm,
)
from reactions.core.errors import (
    BatchInterrupted,
    InvalidArgument,
    InvalidSettings,
    LayoutMismatch,
    NotReplicated,
    PostDeleted,
    ReactionsError,
    ReactionsUnavailable,
    ReadInterrupted,
    ScriptError,
    TypesMismatch,
)
from reactions.core.model import (
    Counts,
    Outcome,
    Page,
    Reacted,
    Reactor,
    RelayStats,
    Status,
    Summary,
    Tier,
)
from reactions.core.settings import Settings
from reactions.core.type_registry import ReactionType

__all__ = [
    "BatchInterrupted",
    "Counts",
    "InvalidArgument",
    "InvalidSettings",
    "LayoutMismatch",
    "NotReplicated",
    "Outcome",
    "Page",
    "PostDeleted",
    "Reacted",
    "ReactionType",
    "Reactions",
    "ReactionsError",
    "ReactionsUnavailable",
    "Reactor",
    "ReadInterrupted",
    "RelayStats",
    "ScriptError",
    "Settings",
    "Status",
    "Summary",
    "Tier",
    "TypesMismatch",
    "counts",
    "default_client",
    "delete_post",
    "forget_user",
    "history",
    "react",
    "react_many",
    "reaction_of",
    "reactors",
    "recent",
    "summaries",
    "uniques",
    "unreact",
    "warm",
]

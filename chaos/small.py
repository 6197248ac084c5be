"""Samples and buckets so small that a few hundred users cause what otherwise takes millions."""

from __future__ import annotations

import pytest

from tests.support.reading import shrink

SAMPLE, FILL, FULL = 20, 6, 12
VIRAL = 45
"""Reactions from which a post is viral; about four of the 80 posts reach it."""


def apply() -> None:
    """Shrink them in this process, until it ends."""
    shrink(pytest.MonkeyPatch(), SAMPLE, FILL, FULL)

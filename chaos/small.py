"""Samples and buckets so small that a few hundred users meet all that happens to millions."""

from __future__ import annotations

import pytest

from tests.support.reading import shrink

SAMPLE, FILL, FULL = 20, 6, 12
VIRAL = 45
"""Reactions from which a post is viral: about four of the 80 posts are."""


def apply() -> None:
    """In this process, for good."""
    shrink(pytest.MonkeyPatch(), SAMPLE, FILL, FULL)

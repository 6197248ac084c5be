"""A client without a Redis."""

from __future__ import annotations

import pytest

from reactions import Reactions
from reactions.core.settings import Settings


@pytest.fixture
def nowhere() -> Reactions:
    """A client whose Redis does not exist: every call that sends something fails."""
    return Reactions(Settings(redis_url="redis://127.0.0.1:1/0", broker_url="redis://127.0.0.1:1"))

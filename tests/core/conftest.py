"""What the tests of settings share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest.mock import patch

import pytest


@pytest.fixture
def bare_environment() -> Iterator[None]:
    """Hide the REACTIONS_ variables of the user who runs the tests."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith("REACTIONS_")}
    with patch.dict(os.environ, rest, clear=True):
        yield

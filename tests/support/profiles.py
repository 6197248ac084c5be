"""Profiles of Hypothesis: how many examples each property is tried with.

``HYPOTHESIS_PROFILE`` names one. The default is ``ci`` in CI and ``dev`` elsewhere.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

SCALES = {"dev": 0.4, "ci": 1.0, "nightly": 10.0}
"""Profile -> factor of the number of examples that a test names. Hypothesis' default is 100."""


def profile() -> str:
    """Return the name of the profile of this session."""
    default = "ci" if os.environ.get("CI") == "true" else "dev"
    return os.environ.get("HYPOTHESIS_PROFILE", default)


def scale() -> float:
    return SCALES[profile()]


def examples(count: int) -> int:
    """Return how many examples to try where the profile ``ci`` tries ``count``; at least 5."""
    return max(5, round(count * scale()))


def load_profile() -> None:
    """Load the profile. No example has a deadline: the machine may be busy."""
    for name, factor in SCALES.items():
        settings.register_profile(
            name,
            max_examples=round(100 * factor),
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
    settings.load_profile(profile())

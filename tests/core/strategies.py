"""Hypothesis strategies for the tests of settings."""

from __future__ import annotations

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from reactions.core.constants import MAX_CODE

NAME = st.from_regex(r"[A-Za-z0-9_+-]{1,32}", fullmatch=True)
TYPES = st.dictionaries(NAME, st.integers(1, MAX_CODE), min_size=1, max_size=MAX_CODE).filter(
    lambda types: len(set(types.values())) == len(types)
)

relaxed = hypothesis_settings(deadline=None)  # the machine may be busy

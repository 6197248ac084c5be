"""Reads the text that Prometheus scrapes."""

from __future__ import annotations

from itertools import chain
from typing import TypeAlias

from prometheus_client.parser import text_string_to_metric_families

Samples: TypeAlias = dict[str, float]
"""Labels as text, such as ``duty=audit,outcome=ok`` -> value."""


def parse_metrics(*texts: str) -> dict[str, Samples]:
    """Name of a series -> its samples; every family must say what it is."""
    found: dict[str, Samples] = {}
    for family in chain(*map(text_string_to_metric_families, texts)):
        assert family.documentation, family.name
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found

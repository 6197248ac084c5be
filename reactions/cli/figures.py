"""Figures as a person reads them: with a unit, and with words instead of a name of the JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IDS = frozenset({"id", "post_id", "user_id", "reached"})
"""The names of figures that are ids."""

_SIZES = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def with_ids(value: Any, name: str = "") -> Any:  # noqa: ANN401 - a value of a report
    """Return a report for JSON. Its ids are strings: JavaScript rounds numbers from 2^53 on."""
    if isinstance(value, Mapping):
        return {key: with_ids(each, key) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [with_ids(each, name) for each in value]
    return str(value) if name in IDS and isinstance(value, int) else value


def readable(name: str, value: Any) -> tuple[str, str]:  # noqa: ANN401 - a value of a report
    """Return the words and the text for a figure.

    The end of its name is its unit: ``_us``, ``_ms`` and ``_s`` are times, ``_per_s`` is a rate,
    ``bytes`` a size, ``_over_script`` a ratio. ``react_p50_us`` = 980 becomes ``react p50`` and
    ``0.98 ms``.
    """
    for unit, text in _UNITS:
        if name.endswith(unit) and isinstance(value, int | float):
            stem = name.removesuffix(unit) if unit.startswith("_") else name
            return stem.replace("_", " "), text(value)
    for unit in ("_per_s", "_us", "_ms", "_s_ago", "_s"):
        if name.endswith(unit) and value is None:
            name = name.removesuffix(unit)
    return name.replace("_", " "), str(value) if name in IDS else _plain(value)


def _plain(value: Any) -> str:  # noqa: ANN401 - a value of a report
    if value is None or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {number:,}" for key, number in value.items())
    if isinstance(value, float):
        return f"{value:,.2f}".removesuffix(".00")
    return f"{value:,}" if isinstance(value, int) else str(value)


def latency(seconds: float) -> str:
    """A time in ms below a second: ``0.98 ms``, ``15.1 ms``, ``830 ms``. Above, as `duration`."""
    if seconds >= 1 or not seconds:
        return duration(seconds)
    ms = seconds * 1_000
    return f"{ms:.{2 if ms < 9.995 else 1 if ms < 99.95 else 0}f} ms"


def duration(seconds: float) -> str:
    """A time in days, hours, minutes or seconds, whichever reads best."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


def count(number: int) -> str:
    """A number, from ten millions on in millions: ``123,456``, ``1,234 M``."""
    return f"{number / 1e6:,.0f} M" if number >= 1e7 else f"{number:,}"


def rate(per_s: float) -> str:
    """A number for each second: ``1,566/s``, ``0.25/s``."""
    return f"{per_s:,.0f}/s" if per_s >= 10 else f"{per_s:,.2f}/s"


def size(number: float) -> str:
    """A number of bytes in the unit that reads best: ``39.2 kB``."""
    for unit, factor in _SIZES:
        if number >= factor:
            return f"{number / factor:,.1f} {unit}"
    return f"{number:,.0f} bytes"


_UNITS = (
    ("_per_s", rate),
    ("_us", lambda us: latency(us / 1e6)),
    ("_ms", lambda ms: latency(ms / 1e3)),
    ("_s_ago", lambda s: f"{duration(s)} ago"),
    ("_s", latency),
    ("_over_script", lambda ratio: f"{ratio:.2f} times the script"),
    ("bytes", size),
)

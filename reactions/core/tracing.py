"""Spans of OpenTelemetry, if the program has set a tracer provider.

A program that has set one has imported OpenTelemetry. So this module imports nothing of it before:
its import reads the metadata of every installed package.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

CHECK_INTERVAL_S = 1.0
"""Seconds between two checks for a tracer provider: a check takes 2 µs, too much for react()."""

PROPAGATED = ("traceparent", "tracestate")
"""The message headers that carry a trace."""


class Span:
    """A span; without a tracer provider, its methods do nothing."""

    def __init__(self, inner: Any = None) -> None:  # noqa: ANN401 - of a package that may be absent
        self._inner = inner

    def note(self, **attributes: float | str | list[int]) -> None:
        """Add attributes; each name gets the prefix ``reactions.``."""
        if self._inner is not None:
            for name, value in attributes.items():
                self._inner.set_attribute(f"reactions.{name}", value)


class _Provider:
    """Whether the program has set a tracer provider; checked once in ``CHECK_INTERVAL_S``."""

    def __init__(self) -> None:
        self._checked_at = -math.inf
        self._found = False

    def found(self) -> bool:
        now = time.monotonic()
        if now - self._checked_at > CHECK_INTERVAL_S:
            self._checked_at = now
            self._found = _is_set()
        return self._found


def _is_set() -> bool:
    trace: Any = sys.modules.get("opentelemetry.trace")
    if not hasattr(trace, "get_tracer_provider"):  # another thread may be importing it
        return False
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


_provider = _Provider()


def active() -> bool:
    """Tell whether spans are recorded. A new provider takes effect within a second."""
    return _provider.found()


@contextmanager
def span(name: str, carrier: Mapping[str, Any] | None = None) -> Iterator[Span]:
    """Run a block in a span, which also records an exception that leaves the block.

    Args:
        carrier: the headers of a message, whose sender's trace continues here. Its values may be
            of any type: a forged message can contain anything.
    """
    if not active():
        yield Span()
        return
    from opentelemetry import propagate, trace

    context = None  # the current context
    if carrier:
        given = {key: carrier.get(key) for key in PROPAGATED}
        context = propagate.extract({k: v for k, v in given.items() if type(v) is str})
    tracer = trace.get_tracer("reactions")
    with tracer.start_as_current_span(name, context=context) as inner:
        yield Span(inner)


def headers() -> dict[str, str]:
    """Return headers for a message, so that its receiver continues the current trace."""
    carried: dict[str, str] = {}
    if active():
        from opentelemetry import propagate

        propagate.inject(carried)
    return {name: value for name, value in carried.items() if name in PROPAGATED}

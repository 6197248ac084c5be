"""Spans, where OpenTelemetry is installed and the program has set up a provider; else nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

try:
    from opentelemetry import propagate, trace
except ImportError:  # nobody wants spans
    INSTALLED = False
else:
    INSTALLED = True

ASK_AGAIN_S = 1.0

PROPAGATED = ("traceparent", "tracestate")
"""Headers of a message that carry a trace."""


class Span:
    """What is known of a piece of work; forgotten where there is no provider."""

    def __init__(self, inner: Any = None) -> None:  # noqa: ANN401 - of a package that may be absent
        self._inner = inner

    def note(self, **attributes: float | str | list[int]) -> None:
        """Add attributes, each under ``reactions.``."""
        if self._inner is not None:
            for name, value in attributes.items():
                self._inner.set_attribute(f"reactions.{name}", value)


class _Provider:
    """Whether there is one: asked for once a second, as it takes 2 µs, and each react() asks."""

    def __init__(self) -> None:
        self._asked_at = -math.inf
        self._found = False

    def found(self) -> bool:
        now = time.monotonic()
        if now - self._asked_at > ASK_AGAIN_S:
            self._asked_at = now
            self._found = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
        return self._found


_provider = _Provider()


def active() -> bool:
    """Whether spans go anywhere; a provider is noticed within a second."""
    return INSTALLED and _provider.found()


@contextmanager
def span(name: str, carrier: Mapping[str, Any] | None = None) -> Iterator[Span]:
    """A span around a block, which notes an exception that leaves it.

    Args:
        carrier: headers of a message whose sender's trace goes on here; may hold anything.
    """
    if not active():
        yield Span()
        return
    context = None  # the present one
    if carrier:
        given = {key: carrier.get(key) for key in PROPAGATED}
        context = propagate.extract({k: v for k, v in given.items() if type(v) is str})
    tracer = trace.get_tracer("reactions")
    with tracer.start_as_current_span(name, context=context) as inner:
        yield Span(inner)


def headers() -> dict[str, str]:
    """Of a message, so that what it starts belongs to the present trace."""
    carried: dict[str, str] = {}
    if active():
        propagate.inject(carried)
    return {name: value for name, value in carried.items() if name in PROPAGATED}

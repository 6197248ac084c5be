"""Spans of OpenTelemetry: none without a provider; with one, from react() to its batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from tests.support.waiting import patience

# A process can set its provider only once, so each script runs in a process of its own.
TRACED = """
import json
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)

import reactions
from reactions.api.default import default_client
from reactions.tasks import drain, virality
from reactions.tasks.app import worker
from sqlalchemy import text

reactions.react(1, 1042, "like")
reactions.delete_post(7)
try:
    reactions.react(1, 7, "like")
except reactions.PostDeleted:
    pass
default_client().close()  # the wake-up is sent
wake = next(s for s in exporter.get_finished_spans() if s.name == "reactions.wake")
parent = f"00-{wake.context.trace_id:032x}-{wake.context.span_id:016x}-01"
for headers in ({"traceparent": parent}, {"traceparent": ["forged"]}, {"traceparent": "x" * 999}):
    drain.apply(kwargs={"shards": [42]}, headers=headers).get()
virality.apply().get()
with worker().database.transaction() as connection:
    connection.execute(text("DROP TABLE posts CASCADE"))
virality.apply()
print(json.dumps([
    {
        "name": s.name,
        "trace": s.context.trace_id,
        "parent": s.parent.span_id if s.parent else None,
        "span": s.context.span_id,
        "ok": s.status.is_ok,
        "attributes": dict(s.attributes),
    }
    for s in exporter.get_finished_spans()
]))
"""

WITHOUT = """
import sys
{}
import reactions
from tests.support.waiting import patience
from reactions.core import tracing
assert not tracing.active()
with tracing.span("x") as at:
    at.note(rows=1)
assert tracing.headers() == {{}}
assert reactions.react(1, 1042, "like").status in ("accepted", "unchanged")
"""


@pytest.fixture
def database_url(own_database_url: str) -> str:
    """A database of its own: the traced program drops a table."""
    return own_database_url


SDK = Path(sys.prefix) / "tracing"
"""Where `make setup` installs the SDK; the lock file has it installed among all others."""


def run(code: str, settings: Settings) -> str:
    path = os.pathsep.join(filter(None, (str(SDK), os.environ.get("PYTHONPATH"))))
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **settings.environment(), "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=patience(120),
    )
    return result.stdout


def test_without_package_or_provider_there_is_no_span(settings: Settings) -> None:
    for first in ("sys.modules['opentelemetry'] = None", "import opentelemetry.trace"):
        run(WITHOUT.format(first), settings)


def test_a_trace_leads_from_a_wake_up_to_its_batch(settings: Settings, valkey: Valkey) -> None:
    broker = f"redis://127.0.0.1:{valkey.port}/1"
    traced = Settings(**{**_plain(settings), "broker_url": broker})
    spans: list[Any] = json.loads(run(TRACED, traced).splitlines()[-1])
    by_name: dict[str, list[Any]] = {}
    for span in spans:
        by_name.setdefault(span["name"], []).append(span)
    good, refused = by_name["reactions.react"]
    assert good["attributes"] == {"reactions.post_id": 1042, "reactions.outcome": "accepted"}
    assert (good["ok"], refused["ok"]) == (True, False)
    (wake,) = by_name["reactions.wake"]
    assert 42 in wake["attributes"]["reactions.shards"]
    first, *forged = by_name["reactions.drain"]
    assert (first["trace"], first["parent"]) == (wake["trace"], wake["span"])
    assert all(span["parent"] is None for span in forged)
    (batch,) = by_name["reactions.batch"]
    assert batch["parent"] == first["span"]
    assert batch["attributes"] == {"reactions.rows": 1, "reactions.changed": 1}
    ended, failed = by_name["reactions.duty virality"]
    assert (ended["ok"], failed["ok"]) == (True, False)
    with Redis.from_url(broker) as client:
        message = json.loads(client.lindex("persistence", 0) or b"{}")
    assert f"{wake['span']:016x}" in message["headers"]["traceparent"]


def _plain(settings: Settings) -> dict[str, Any]:
    return {
        name: value
        for name in ("redis_url", "database_url", "lease_s", "viral_horizon_s")
        if (value := getattr(settings, name)) is not None
    }

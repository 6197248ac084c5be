"""``reactions.ops.doctor.celery``: no beat, no worker, and retries that the broker would repeat."""

from __future__ import annotations

from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.ops.doctor import State
from tests.ops.doctor.examining import findings, with_urls


def test_nobody_at_work(settings: Settings, valkey: Valkey) -> None:
    found = findings(with_urls(settings, broker_url=f"redis://127.0.0.1:{valkey.port}/1"))
    assert found["beat"].state is State.FAILURE
    for queue in ("persistence", "maintenance"):
        assert found[f"queue {queue}"].state is State.FAILURE
        assert f"-Q {queue}" in found[f"queue {queue}"].remedy
    assert found["duties"].state is State.WARNING


def test_a_retry_schedule_that_the_broker_would_repeat(settings: Settings) -> None:
    found = findings(settings.model_copy(update={"retry_cap_s": 850.0}))["retry schedule"]
    assert found.state is State.FAILURE
    assert "visibility_timeout" in found.found

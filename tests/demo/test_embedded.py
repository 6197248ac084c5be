"""The servers that a demo starts."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from reactions.demo.embedded import Postgres, Valkey
from tests.cli.running import processes_of
from tests.support.waiting import wait_until


def test_valkey_starts_with_the_recommended_options(valkey: Valkey) -> None:
    with Redis(port=valkey.port) as client:
        options = client.config_get()
    assert options["appendonly"] == "yes"
    assert options["maxmemory-policy"] == "volatile-lru"
    assert options["hash-max-listpack-entries"] == "512"


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["initdb", "pg_ctl"])
def test_an_interrupted_start_of_postgresql_leaves_nothing_running(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupt comes once the program has begun, and the next start is a whole one."""
    folder = Path(tempfile.mkdtemp(prefix="reactions-test-"))
    run = subprocess.run

    def interrupted(command: Any, **options: Any) -> Any:
        found = run(command, **options)
        if str(command[0]).endswith(moment):
            raise KeyboardInterrupt
        return found

    try:
        server = Postgres(folder)
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "run", interrupted)
            with pytest.raises(KeyboardInterrupt):
                server.start()
        wait_until(lambda: not processes_of(str(folder)), what="the server to end")
        again = Postgres(folder)
        again.start()
        assert again.alive()
        again.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)

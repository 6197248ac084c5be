"""``reactions up``: what a client of the stack sees, and how the stack ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from reactions.demo.plain_path import LINKS
from reactions.demo.state_folder import remove
from reactions.demo.synthetic_trace import synthesize
from tests.cli.running import answers, in_process, last_line, processes_of, reactions
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.slow


class Up:
    """A ``reactions up`` under the test's control."""

    def __init__(self, folder: Path, stderr: int | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reactions", "up", "--json", "--state-dir", str(folder)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        assert self.process.stdout is not None
        self.urls = json.loads(self.process.stdout.readline())
        self.env = {
            f"REACTIONS_{name.upper()}": self.urls[name]
            for name in ("redis_url", "database_url", "broker_url")
        }

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(patience(60))


@contextmanager
def temporary() -> Iterator[Path]:
    """A state folder outside of pytest's: PostgreSQL runs as a user that cannot enter that one."""
    made = Path(tempfile.mkdtemp(prefix="reactions-test-"))
    try:
        yield made / "state"
    finally:
        remove(made)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with temporary() as made:
        yield made


@pytest.fixture
def fresh() -> Iterator[Path]:
    with temporary() as made:
        yield made


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[Up]:
    running = Up(folder)
    yield running
    if running.process.poll() is None:
        running.stop(signal.SIGINT)


def test_a_client_of_the_stack_replays_and_verifies(up: Up, tmp_path: Path) -> None:
    assert set(up.urls) == {
        "redis_url",
        "database_url",
        "broker_url",
        "flower_url",
        "page_url",
        "state_dir",
    }
    trace = tmp_path / "trace.csv"
    synthesize(trace, 2_000, ["like", "wow"])
    replayed = reactions("replay", str(trace), "--writers", "2", "--json", **up.env)
    assert replayed.returncode == 0, replayed.stderr
    assert last_line(replayed)["events"] == 2_000
    wait_until(lambda: last_line(in_process("verify", "--json", **up.env))["pending"] == 0)
    verified = in_process("verify", "--json", **up.env)
    assert verified.returncode == 0
    assert last_line(verified)["posts"] > 0


def test_flower_is_there_and_asks_for_a_password(up: Up) -> None:
    credentials, address = up.urls["flower_url"].removeprefix("http://").split("@")
    assert credentials.startswith("reactions:")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://{address}tasks")


def test_the_address_of_the_database_is_one_for_postgresqls_own_tools(up: Up) -> None:
    psycopg2.connect(up.urls["database_url"]).close()


def test_a_second_stack_keeps_off_the_folder_of_the_first(up: Up, folder: Path) -> None:
    before = {process.pid for process in processes_of(str(folder))}
    second = reactions("up", "--state-dir", str(folder))
    assert second.returncode == 2
    assert f"another stack uses {folder} (pid {up.process.pid})" in " ".join(second.stderr.split())
    assert {process.pid for process in processes_of(str(folder))} == before
    assert in_process("verify", **up.env).returncode == 0


def _one_line(up: Up) -> Path:
    trace = Path(up.urls["state_dir"]) / "one.csv"
    trace.write_text("ts_seconds,user_id,item_id,type\n1,5,777,like\n")
    return trace


def test_a_stopped_stack_picks_up_its_data_again(up: Up, folder: Path) -> None:
    reactions("replay", str(_one_line(up)), **up.env)
    wait_until(lambda: last_line(in_process("verify", "--json", **up.env))["pending"] == 0)
    before = last_line(in_process("verify", "--json", **up.env))
    assert up.stop(signal.SIGTERM) in (0, 143)
    assert not processes_of(str(folder))
    again = Up(folder)
    try:
        assert again.urls == up.urls  # ports and password, too
        after = last_line(in_process("verify", "--json", **again.env))
        assert (after["posts"], after["reactions"]) == (before["posts"], before["reactions"])
        assert after["cached"] > 0
        _a_second_interrupt_does_not_stop_the_stopping(again, folder)
    finally:
        again.process.kill()


def _a_second_interrupt_does_not_stop_the_stopping(up: Up, folder: Path) -> None:
    children = psutil.Process(up.process.pid).children(recursive=True)
    up.process.send_signal(signal.SIGINT)
    wait_until(lambda: not answers(up.urls["page_url"]), what="it stops")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        up.process.send_signal(number)
    assert end_of(up.process, folder, children) == 0  # the same as after one Ctrl-C


def end_of(up: subprocess.Popen[Any], folder: Path, children: list[psutil.Process]) -> int:
    """Wait for its exit code; kill what it left, so that other tests do not suffer, and fail."""
    try:
        return up.wait(patience(90))
    finally:
        up.kill()
        daemons = processes_of(
            str(folder)
        )  # PostgreSQL is no child; some children do not name the folder
        left = [p for p in {*children, *daemons} if p.is_running() and p.status() != "zombie"]
        for process in left:
            process.kill()
        assert left == []


def test_a_shell_evaluates_what_up_prints_and_a_frozen_worker_does_not_hold_up_the_end(
    fresh: Path,
) -> None:
    """Whatever the name of its folder."""
    fresh = fresh / 'it\'s "my" $HOME'
    up = subprocess.Popen(
        [sys.executable, "-m", "reactions", "up", "--state-dir", str(fresh)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert up.stdout is not None
    assert up.stderr is not None
    lines = [up.stdout.readline() for _ in range(4)]
    try:
        script = f'set -e; eval "$1"; {sys.executable} -m reactions verify'
        ran = subprocess.run(
            ["sh", "-c", script, "sh", "".join(lines)], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
    finally:
        children = psutil.Process(up.pid).children(recursive=True)
        os.kill(int((fresh / "worker.pid").read_text()), signal.SIGSTOP)
        up.send_signal(signal.SIGINT)
        wait_until(lambda: up.poll() is not None, 6, "it ends within five seconds")
        rest, said = up.communicate(timeout=patience(60))
    assert end_of(up, fresh, children) == 0
    links = [path for path in LINKS.glob("reactions-*") if path.is_symlink()]
    assert fresh / "postgres" not in [link.readlink() for link in links]
    assert rest == ""
    assert all(line.startswith("export ") for line in lines)
    for address in ("Flower: http://reactions:", "Page: http://127.0.0.1:"):
        assert address in said


def test_up_ends_when_postgresql_dies(fresh: Path) -> None:
    up = Up(fresh, stderr=subprocess.PIPE)
    children = psutil.Process(up.process.pid).children(recursive=True)
    server = int((fresh / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(server, signal.SIGKILL)
    assert end_of(up.process, fresh, children) == 2
    assert up.process.stderr is not None
    assert "PostgreSQL is not running" in up.process.stderr.read()


def test_up_ends_with_its_terminal(fresh: Path) -> None:
    """Even if it gets no SIGHUP, because the terminal does not control its session."""
    main, terminal = pty.openpty()
    up = subprocess.Popen(
        [sys.executable, "-m", "reactions", "up", "--state-dir", str(fresh)],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    seen = b""
    while b"Ctrl-C" not in seen:
        seen += os.read(main, 4_096)
    children = psutil.Process(up.pid).children(recursive=True)
    os.close(main)
    assert end_of(up, fresh, children) == 128 + signal.SIGHUP

"""The command line as a user runs it: every server and process real, every exit code meant."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg2
import pytest
from redis import Redis
from sqlalchemy import create_engine, text

from reactions.core.settings import Settings
from reactions.demo.state_folder import remove
from reactions.demo.synthetic_trace import synthesize
from tests.support.waiting import wait_until

DEMO_KEYS = {
    "events",
    "accepted_per_s",
    "durable_per_s",
    "react_p50_us",
    "react_p99_us",
    "react_max_us",
    "lag_p99_ms",
    "catch_up_s",
    "tasks_enqueued",
    "posts",
    "mismatched_reactions",
    "drifted_counts_database",
    "drifted_counts_redis",
    "pending",
}


def reactions(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reactions", *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def last_line(result: subprocess.CompletedProcess[str]) -> Any:
    assert result.stdout, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("outage", [[], ["--outage", "broker"], ["--outage", "database"]])
def test_the_demo_verifies_and_leaves_nothing_running(tmp_path: Path, outage: list[str]) -> None:
    trace = tmp_path / "trace.csv"
    synthesize(trace, 6_000, ["like", "love", "RT"], seed=7)
    with trace.open("a") as file:
        file.write("1,not a user,1,like\n1,2\n")
    result = reactions("demo", "--trace", str(trace), "--writers", "2", "--json", *outage)
    assert result.returncode == 0, result.stderr
    figures = last_line(result)
    assert figures.keys() >= DEMO_KEYS
    assert figures["events"] == 6_000
    assert figures["broken_lines"] == 2
    assert "line 6002" in result.stderr
    for drift in ("mismatched_reactions", "drifted_counts_database", "drifted_counts_redis"):
        assert figures[drift] == 0
    assert (figures["outage_s"] > 0) == bool(outage)
    (folder,) = re.findall(r"data and logs in (\S+)", result.stderr)
    assert not Path(folder).exists()
    assert not processes_of(folder)


class OnTerminal:
    """A command whose standard output and errors are a terminal, and what is to be read there."""

    def __init__(self, *arguments: str) -> None:
        self._main, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reactions", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            env={**os.environ, "COLUMNS": "200"},
            start_new_session=True,  # the test is not to be interrupted with it
        )
        os.close(terminal)
        self.seen = ""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError):  # EIO: nobody has the terminal open any more
            while piece := os.read(self._main, 4_096):
                self.seen += piece.decode(errors="replace")

    def interrupt(self, number: signal.Signals) -> None:
        """As a terminal does: all that it runs in the foreground."""
        os.killpg(self.process.pid, number)

    def wait(self) -> int:
        """Its exit code, once all that it said is read."""
        code = self.process.wait(200)
        self._thread.join(10)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.interrupt(signal.SIGTERM)
            self.wait()
        os.close(self._main)


@contextmanager
def demo_on_terminal(tmp_path: Path, *options: str) -> Iterator[OnTerminal]:
    """A small one, that leaves nothing."""
    trace = tmp_path / "trace.csv"
    synthesize(trace, 1_000, ["like", "love"])
    running = OnTerminal(
        "demo", "--trace", str(trace), "--writers", "1", "--workers", "1", *options
    )
    try:
        yield running
    finally:
        running.close()
    (folder,) = re.findall(r"data and logs in (\S+)", running.seen)
    assert not Path(folder).exists()
    assert not processes_of(folder)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGHUP, 129)])
def test_on_a_terminal_the_demo_stays_until_it_is_interrupted(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with demo_on_terminal(tmp_path) as demo:
        wait_until(lambda: "Ctrl-C" in demo.seen or demo.process.poll() is not None, 200)
        report, _, hint = demo.seen.partition("verified: the stores agree")
        assert "mismatched_reactions" in report
        (address,) = re.findall(r"still running: (\S+)", hint)
        assert f"watch it here: {address}" in report
        wait_until(lambda: answers(address), what="the page is there again")
        demo.interrupt(number)
        assert demo.wait() == code


def answers(address: str) -> bool:
    try:
        return httpx.get(address).is_success
    except httpx.TransportError:
        return False


def test_a_demo_that_is_to_exit_does_so_on_a_terminal(tmp_path: Path) -> None:
    with demo_on_terminal(tmp_path, "--exit") as demo:
        assert demo.wait() == 0
        assert "verified: the stores agree" in demo.seen
        assert "Ctrl-C" not in demo.seen


def processes_of(folder: str) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if folder in str(p.info["cmdline"])]


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
        return self.process.wait(60)


@contextmanager
def temporary() -> Iterator[Path]:
    """Not in pytest's folder, for the reason that ``running_postgres`` has."""
    made = Path(tempfile.mkdtemp(prefix="reactions-test-"))
    try:
        yield made / "state"
    finally:
        remove(made)


@pytest.fixture(autouse=True, scope="module")
def _signals() -> Iterator[None]:
    """A shell that runs this in the background ignores them, and so would what is started here."""
    ignored = [n for n in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


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
    wait_until(lambda: last_line(reactions("verify", "--json", **up.env))["pending"] == 0)
    verified = reactions("verify", "--json", **up.env)
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
    assert reactions("verify", **up.env).returncode == 0


def test_verify_finds_drift_of_each_kind(up: Up) -> None:
    """Planted one by one, named, and mended again by hand."""
    client = Redis.from_url(up.urls["redis_url"])
    engine = create_engine(
        Settings(database_url=up.urls["database_url"]).database_url.get_secret_value()
    )
    reactions("replay", str(_one_line(up)), **up.env)
    wait_until(lambda: last_line(reactions("verify", "--json", **up.env))["pending"] == 0)

    client.hincrby("post:{77}:777:reaction_counts", "1", 5)
    _drifts(up, "counts")
    client.hincrby("post:{77}:777:reaction_counts", "1", -5)

    with engine.begin() as connection:
        connection.execute(text("UPDATE reaction_counts SET count = 9 WHERE post_id = 777"))
    _drifts(up, "ledger")
    with engine.begin() as connection:
        connection.execute(text("UPDATE reaction_counts SET count = 1 WHERE post_id = 777"))

    client.hset("post:{77}:777:reactions", mapping={"0": 1, "5": 3})
    _drifts(up, "hash")
    client.delete("post:{77}:777:reactions")
    assert reactions("verify", **up.env).returncode == 0
    client.close()
    engine.dispose()


def _one_line(up: Up) -> Path:
    trace = Path(up.urls["state_dir"]) / "one.csv"
    trace.write_text("ts_seconds,user_id,item_id,type\n1,5,777,like\n")
    return trace


def _drifts(up: Up, kind: str) -> None:
    result = reactions("verify", "--json", **up.env)
    assert result.returncode == 1
    assert last_line(result)["found"][kind] == 1
    assert "post 777" in result.stderr


def test_a_stopped_stack_picks_up_its_data_again(up: Up, folder: Path) -> None:
    reactions("replay", str(_one_line(up)), **up.env)
    wait_until(lambda: last_line(reactions("verify", "--json", **up.env))["pending"] == 0)
    before = last_line(reactions("verify", "--json", **up.env))
    assert up.stop(signal.SIGTERM) in (0, 143)
    assert not processes_of(str(folder))
    again = Up(folder)
    try:
        after = last_line(reactions("verify", "--json", **again.env))
        assert (after["posts"], after["reactions"]) == (before["posts"], before["reactions"])
        assert after["cached"] > 0
    finally:
        again.stop(signal.SIGINT)


def end_of(up: subprocess.Popen[Any], folder: Path, children: list[psutil.Process]) -> int:
    """Its exit code; nothing is left of it, or is killed, so that one test spoils no other."""
    try:
        return up.wait(90)
    finally:
        up.kill()
        daemons = processes_of(str(folder))  # PostgreSQL is no child; and not all name the folder
        left = [p for p in {*children, *daemons} if p.is_running() and p.status() != "zombie"]
        for process in left:
            process.kill()
        assert left == []


def test_a_second_interrupt_does_not_stop_the_stopping(fresh: Path) -> None:
    up = Up(fresh)
    children = psutil.Process(up.process.pid).children(recursive=True)
    up.process.send_signal(signal.SIGINT)
    wait_until(lambda: not answers(up.urls["page_url"]), what="it is stopping")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        up.process.send_signal(number)
    assert end_of(up.process, fresh, children) == 0  # as after one Ctrl-C


def test_up_ends_when_postgresql_died(fresh: Path) -> None:
    up = Up(fresh, stderr=subprocess.PIPE)
    children = psutil.Process(up.process.pid).children(recursive=True)
    server = int((fresh / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(server, signal.SIGKILL)
    assert end_of(up.process, fresh, children) == 2
    assert up.process.stderr is not None
    assert "PostgreSQL is not running" in up.process.stderr.read()


def test_up_ends_with_its_terminal(fresh: Path) -> None:
    """Also where nobody sends it SIGHUP: the terminal is not that of its session."""
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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["demo", "--events", "0"], "0 is not in the range"),
        (["demo", "--trace", "nowhere.csv"], "does not exist"),
        (["demo", "--outage", "moon"], "is not one of 'broker', 'database'"),
        (["replay"], "Missing argument 'TRACE'"),
        (["up", "--workers", "-1"], "not in the range"),
        (["nonsense"], "No such command"),
    ],
)
def test_a_bad_command_says_what_is_allowed(arguments: list[str], says: str) -> None:
    result = reactions(*arguments)
    assert result.returncode == 2
    assert says in result.stderr


def test_bad_settings_and_bad_traces_are_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("no,header\n")
    result = reactions("demo", "--trace", str(bad))
    assert (result.returncode, "does not begin with" in result.stderr) == (2, True)
    result = reactions("verify", REACTIONS_LEASE_S="soon")
    assert (result.returncode, "lease_s" in result.stderr) == (2, True)
    result = reactions(
        "verify",
        REACTIONS_REDIS_URL="redis://127.0.0.1:1",
        REACTIONS_DATABASE_URL="postgresql://127.0.0.1:1/x",
    )
    assert (result.returncode, "cannot serve" in result.stderr) == (2, True)
    assert "Traceback" not in result.stderr


def test_help_is_worth_reading() -> None:
    result = reactions("--help")
    for word in ("demo", "up", "migrate", "replay", "verify", "REACTIONS_REDIS_URL"):
        assert word in result.stdout

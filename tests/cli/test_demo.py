"""``reactions demo`` on a terminal: it stays or ends, and leaves nothing running."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from reactions.demo.synthetic_trace import synthesize
from tests.cli.running import answers, processes_of
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.slow


class OnTerminal:
    """A command on a pseudo-terminal; ``seen`` is what it has printed there."""

    def __init__(self, *arguments: str) -> None:
        self._main, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reactions", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            env={**os.environ, "COLUMNS": "80"},
            start_new_session=True,  # so that interrupt() does not reach the tests
        )
        os.close(terminal)
        self.seen = ""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError):  # EIO: no process has the terminal open any more
            while piece := os.read(self._main, 4_096):
                self.seen += piece.decode(errors="replace")

    def interrupt(self, number: signal.Signals) -> None:
        """Send a signal as a terminal does: to every process in its foreground."""
        os.killpg(self.process.pid, number)

    def wait(self) -> int:
        """Wait for the end and for the last output; return the exit code."""
        code = self.process.wait(patience(200))
        self._thread.join(patience(10))
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.interrupt(signal.SIGTERM)
            self.wait()
        os.close(self._main)


@contextmanager
def demo_on_terminal(tmp_path: Path, *options: str, events: int = 1_000) -> Iterator[OnTerminal]:
    """Run a small demo; at the end, it must have left no folder and no process."""
    trace = tmp_path / "trace.csv"
    synthesize(trace, events, ["like", "love"])
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


@pytest.mark.parametrize(
    ("outage", "number", "code"),
    [("broker", signal.SIGINT, 0), ("database", signal.SIGHUP, 129)],
)
def test_on_a_terminal_the_demo_stays_until_it_is_interrupted(
    tmp_path: Path, outage: str, number: signal.Signals, code: int
) -> None:
    with demo_on_terminal(tmp_path, "--outage", outage, events=6_000) as demo:
        wait_until(lambda: "Ctrl-C" in demo.seen or demo.process.poll() is not None, 200)
        report, _, hint = demo.seen.partition("verified: the stores agree")
        for drift in ("mismatched reactions", "drifted counts database", "drifted counts redis"):
            assert re.search(rf"{drift} +0\s", report)
        lasted = re.search(rf"outage +{outage}\s+outage +([\d.]+) m?s", report)
        assert lasted
        assert float(lasted[1]) > 0
        assert not re.search(r"\w_(us|ms|s)\b", report)
        assert re.search(r"react p50 +[\d.]+ ms", report)
        bars = last_of_bars(report)
        assert bars.keys() >= {"replaying", "verifying"}
        assert all(done == total for done, total in bars.values()), bars
        (address,) = re.findall(r"still running: (\S+)", hint)
        assert f"watch it here: {address}" in report
        wait_until(lambda: answers(address), what="the page answers again")
        demo.interrupt(number)
        wait_until(lambda: "stopping: waiting for page, flower, beat, worker" in demo.seen, 5)
        wait_until(lambda: demo.process.poll() is not None, 5, "it ends within five seconds")
        assert demo.wait() == code


def last_of_bars(seen: str) -> dict[str, tuple[int, int]]:
    """Phase -> the last `done/total` that its bar showed."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    found = re.findall(r"([a-z][a-z ]+?) [━╸╺ ]+ +(\d+)/(\d+)", plain)
    return {phase.strip(): (int(done), int(total)) for phase, done, total in found}


def test_an_interrupt_of_the_replay_is_answered_at_once(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    synthesize(trace, 200_000, ["like", "love"])
    demo = OnTerminal("demo", "--trace", str(trace), "--writers", "2", "--workers", "1")
    try:
        wait_until(lambda: last_of_bars(demo.seen).get("replaying", (0, 0))[0] > 0, 60)
        demo.interrupt(signal.SIGINT)
        wait_until(lambda: "stopping: waiting for" in demo.seen, 5)
        wait_until(lambda: demo.process.poll() is not None, 5, "it ends within five seconds")
        assert demo.wait() == 130
    finally:
        demo.close()
    assert "Traceback" not in demo.seen
    (folder,) = re.findall(r"data and logs in (\S+)", demo.seen)
    assert not Path(folder).exists()
    assert not processes_of(folder)


def test_with_exit_the_demo_ends_on_a_terminal_too(tmp_path: Path) -> None:
    with demo_on_terminal(tmp_path, "--exit") as demo:
        assert demo.wait() == 0
        assert "verified: the stores agree" in demo.seen
        assert "Ctrl-C" not in demo.seen

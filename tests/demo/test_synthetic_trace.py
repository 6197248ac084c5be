"""Generated traces."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from reactions.demo.synthetic_trace import synthesize
from reactions.demo.trace import Trace
from tests.support.profiles import examples

relaxed = settings(deadline=None, max_examples=examples(50))  # files, on a machine that may be busy


@relaxed
@given(st.integers(1, 400), st.integers(0, 3))
def test_a_synthetic_trace_is_a_trace(events: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, again = Path(folder) / "a.csv", Path(folder) / "b.csv"
        synthesize(path, events, ["like", "wow"], seed)
        synthesize(again, events, ["like", "wow"], seed)
        assert path.read_bytes() == again.read_bytes()
        trace = Trace(path)
        assert len(list(trace)) == events
        assert trace.broken_lines == 0
        assert set(trace.types()) <= {"like", "wow"}


def test_a_synthetic_trace_is_like_a_burst(tmp_path: Path) -> None:
    synthesize(tmp_path / "a.csv", 20_000, ["like", "wow"], 1)
    synthesize(tmp_path / "b.csv", 20_000, ["like", "wow"], 2)
    assert (tmp_path / "a.csv").read_bytes() != (tmp_path / "b.csv").read_bytes()
    events = list(Trace(tmp_path / "a.csv"))
    posts = [event.post_id for event in events]
    removed = sum(event.reaction is None for event in events)
    seen: set[tuple[int, int]] = set()
    repeats = 0
    for user, post, _ in events:
        repeats += (user, post) in seen
        seen.add((user, post))
    assert posts.count(1) > 10 * posts.count(100)  # a few posts are popular
    assert 0.04 < removed / len(events) < 0.06  # one in twenty removes a reaction
    assert 0.08 < repeats / len(events) < 0.25  # one in twenty changes or repeats one

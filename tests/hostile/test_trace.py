"""Hostile trace files: the good lines are read, and each other line is reported."""

from __future__ import annotations

import gzip
import re
import tempfile
import tracemalloc
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reactions.core.constants import MAX_ID, REMOVE
from reactions.core.errors import TraceError
from reactions.demo.trace import HEADER, MAX_DESCRIBED, MAX_LINE, Event, Trace
from tests.support.profiles import examples

Pack = Callable[[bytes], bytes]
PACKS: list[Pack] = [bytes, gzip.compress]

# The form of a good line, described independently of the parser.
GOOD = re.compile(r"[^,\n\r]*,([0-9]{1,19}),([0-9]{1,19}),([A-Za-z0-9_+-]{1,32})")

EVENTS = st.builds(
    Event,
    st.integers(1, MAX_ID),
    st.integers(1, MAX_ID),
    st.from_regex(r"[A-Za-z0-9_+-]{1,32}", fullmatch=True).filter(REMOVE.__ne__) | st.none(),
)
PART = st.one_of(
    st.binary(max_size=8),
    st.sampled_from([b"1", b"0", b"like", b"-1", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", b'"']),
    st.integers(MAX_LINE - 10, MAX_LINE + 10).map(lambda size: b"7" * size),
)
LINE = st.lists(PART, max_size=6).map(b",".join) | EVENTS.map(lambda event: line(event))
NO_BREAK = LINE.filter(lambda data: b"\n" not in data and b"\r" not in data)

relaxed = settings(max_examples=examples(60))


def line(event: Event) -> bytes:
    return f"17,{event.user_id},{event.post_id},{event.reaction or REMOVE}".encode()


def read_alone(data: bytes) -> Event | None:
    """Return the event of one line, or None if it is broken."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    found = GOOD.fullmatch(text)
    if found is None or len(text) >= MAX_LINE:
        return None
    user, post = int(found[1]), int(found[2])
    if not (1 <= user <= MAX_ID and 1 <= post <= MAX_ID):
        return None
    return Event(user, post, None if found[3] == REMOVE else found[3])


def trace_of(folder: str | Path, data: bytes) -> Trace:
    path = Path(folder) / "trace"
    path.write_bytes(data)
    return Trace(path)


@relaxed
@given(st.lists(NO_BREAK, max_size=12), st.sampled_from([b"\n", b"\r\n"]), st.sampled_from(PACKS))
@example([line(Event(1, 2, "like")), b"1,\xff,3,like", line(Event(4, 5, None))], b"\n", bytes)
@example([b"1" * (MAX_LINE - 9) + b",1,1,likewise", b"2,1,1,like"], b"\n", bytes)
@example([b"\xff,1,1,like", b"1" * MAX_LINE + b",1,1,like", b"2,1,1,like"], b"\n", gzip.compress)
def test_exactly_the_good_lines_are_read(lines: list[bytes], end: bytes, pack: Pack) -> None:
    expected = [read_alone(data) for data in lines]
    numbers = [number for number, event in enumerate(expected, start=2) if event is None]
    with tempfile.TemporaryDirectory() as folder:
        trace = trace_of(folder, pack(end.join([HEADER.encode(), *lines, b""])))
        assert list(trace) == [event for event in expected if event is not None]
    assert trace.broken_lines == len(numbers)
    said = [re.match(r"line (\d+): .{1,150}$", text) for text in trace.broken]
    assert [int(match[1]) for match in said if match] == numbers[:MAX_DESCRIBED]
    assert all(text.isprintable() for text in trace.broken)


@relaxed
@given(st.binary(max_size=300), st.booleans(), st.sampled_from(PACKS))
def test_any_bytes_are_read_or_refused(data: bytes, headed: bool, pack: Pack) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trace = trace_of(folder, pack((HEADER.encode() + b"\n" if headed else b"") + data))
        # Bytes without a header may by chance begin like a packed file that then breaks off.
        refused = pytest.raises(TraceError, match=r"does not begin with|after line \d+: ")
        with nullcontext() if headed else refused:
            list(trace)


@pytest.mark.parametrize("broken", [b"\xff", b"1,\xff,1,like", b"\xff,1,1,like", b"1,1,1,\xc3"])
@pytest.mark.parametrize("pack", PACKS)
def test_bytes_that_are_not_text_break_their_own_line(
    tmp_path: Path, broken: bytes, pack: Pack
) -> None:
    data = b"\n".join([HEADER.encode(), b"0,1,1,like", broken, b"0,2,1,like", b""])
    trace = trace_of(tmp_path, pack(data))
    assert list(trace) == [Event(1, 1, "like"), Event(2, 1, "like")]
    assert [text[:8] for text in trace.broken] == ["line 3: "]


def test_a_byte_order_mark_is_not_part_of_the_header(tmp_path: Path) -> None:
    """Spreadsheets write one."""
    data = b"\xef\xbb\xbf" + HEADER.encode() + b"\r\n0,1,1,like\r\n"
    assert list(trace_of(tmp_path, data)) == [Event(1, 1, "like")]


@pytest.mark.parametrize("pack", PACKS)
def test_a_very_long_line_takes_little_memory(tmp_path: Path, pack: Pack) -> None:
    """These 64 MB compress to 62 kB: a zip bomb."""
    size = 64 * 2**20
    data = HEADER.encode() + b"\n0,1,1,like\n" + b"1" * size + b"\n0,2,1,like\n"
    trace = trace_of(tmp_path, pack(data))
    del data
    tracemalloc.start()
    try:
        assert [event.user_id for event in trace] == [1, 2]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert trace.broken_lines == 1
    assert most < 2 * 2**20


def test_a_truncated_archive_says_where(tmp_path: Path) -> None:
    packed = gzip.compress(HEADER.encode() + b"\n" + b"0,1,1,like\n" * 5_000)
    trace = trace_of(tmp_path, packed[:-20])
    with pytest.raises(TraceError, match=r"after line \d+: Compressed file ended"):
        list(trace)

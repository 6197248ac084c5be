"""A trace counts broken lines and skips them. A file that cannot be read is an error."""

from __future__ import annotations

import gzip
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reactions.core.constants import MAX_ID, REMOVE
from reactions.core.errors import TraceError
from reactions.demo.synthetic_trace import synthesize
from reactions.demo.trace import HEADER, MAX_DESCRIBED, Event, Trace
from tests.support.profiles import examples

HEAD = "ts_seconds,user_id,item_id,type"
BROKEN = {
    "": "not enough values",
    "1,2,3": "not enough values",
    "1,2,3,like,5": "too many values",
    "1,0,3,like": "id '0' is not an integer from 1 to 2^63-1",
    "1,-1,3,like": "id '-1'",
    "1,+1,3,like": "id '+1'",
    "1,1.0,3,like": "id '1.0'",
    "1,1e3,3,like": "id '1e3'",
    "1, 1,3,like": "id ' 1'",
    "1,1_0,3,like": "id '1_0'",
    "1,,3,like": "id ''",
    "1,1,x,like": "id 'x'",
    "1,1,²,like": "id '²'",  # isdigit() is true, but int() fails
    "1,1,٣,like": "id '٣'",
    f"1,1,{MAX_ID + 1},like": f"id '{MAX_ID + 1}'",
    f"1,1,{'9' * 5000},like": f"id '{'9' * 40}' is not",
    f"1,{'0' * 30},1,like": "id '000",
    "1,1,3,": "type '' is not a name: 1 to 64",
    "1,1,3, like": "type ' like'",
    f"1,1,3,{'x' * 65}": "type 'xxx",
    f"1,1,3,{'y' * 100_000}": f"type '{'y' * 40}' is not",
    "1,1,3,\u202elike": "type '\\u202elike'",
    "1,1,3,like\0": "type 'like\\x00'",
    "1,1,3,like ": "type 'like '",
    "ts_seconds,user_id,item_id,type": "id 'user_id'",
}
EVENT = st.builds(
    Event, st.integers(1, 5), st.integers(1, 3), st.sampled_from(["like", "love", "+1", None])
)

relaxed = settings(deadline=None, max_examples=examples(50))  # files, on a machine that may be busy


def line(event: Event) -> str:
    return f"0,{event.user_id},{event.post_id},{event.reaction or REMOVE}"


@contextmanager
def trace_of(*lines: str, limit: int | None = None, zipped: bool = False) -> Iterator[Trace]:
    """Write a trace with these lines below the header."""
    data = "\n".join([HEAD, *lines, ""]).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace"  # without a suffix, the content decides
        path.write_bytes(gzip.compress(data) if zipped else data)
        yield Trace(path, limit)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Trace]:
    """Return a function that writes a trace with any bytes."""

    def _write(data: bytes) -> Trace:
        path = tmp_path / "trace.csv.gz"
        path.write_bytes(data)
        return Trace(path)

    return _write


# -- reading ---------------------------------------------------------------------------------------


@relaxed
@given(st.lists(EVENT), st.booleans())
def test_events_are_read_as_they_were_written(events: list[Event], zipped: bool) -> None:
    with trace_of(*map(line, events), zipped=zipped) as trace:
        assert list(trace) == events
        assert list(trace) == events  # a second iteration reads again
        assert (trace.broken, trace.broken_lines) == ([], 0)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends(write: Callable[[bytes], Trace], end: str) -> None:
    trace = write(end.join([HEAD, "1,2,3,like", "2,4,5,remove"]).encode())
    assert list(trace) == [Event(2, 3, "like"), Event(4, 5, None)]


def test_ids_to_the_last() -> None:
    with trace_of(f"0,{MAX_ID},{MAX_ID},like") as trace:
        assert list(trace) == [Event(MAX_ID, MAX_ID, "like")]


def test_an_empty_trace_is_a_trace() -> None:
    with trace_of() as trace:
        assert list(trace) == []
        assert trace.types() == []
        assert trace.outcome() == {}


def test_types_in_order_of_appearance() -> None:
    with trace_of("0,1,1,wow", "0,1,1,remove", "0,2,1,like", "0,3,1,wow") as trace:
        assert trace.types() == ["wow", "like"]


@relaxed
@given(st.lists(EVENT))
def test_outcome_is_what_a_model_says(events: list[Event]) -> None:
    model = {(event.post_id, event.user_id): event.reaction for event in events}
    with trace_of(*map(line, events)) as trace:
        outcome = {
            (post, user): reaction
            for post, users in trace.outcome().items()
            for user, reaction in users.items()
        }
    assert outcome == {key: reaction for key, reaction in model.items() if reaction is not None}


@relaxed
@given(st.lists(EVENT | st.sampled_from(sorted(BROKEN)), max_size=12), st.integers(0, 12))
def test_limit_counts_events_and_not_broken_lines(items: list[Event | str], limit: int) -> None:
    lines = [item if isinstance(item, str) else line(item) for item in items]
    with trace_of(*lines, limit=limit) as trace:
        assert list(trace) == [item for item in items if isinstance(item, Event)][:limit]


# -- broken lines ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("broken", "why"), BROKEN.items(), ids=range(len(BROKEN)))
@pytest.mark.parametrize("zipped", [False, True])
def test_a_broken_line_is_counted_and_the_rest_goes_on(broken: str, why: str, zipped: bool) -> None:
    with trace_of("0,1,1,like", broken, "0,2,1,like", zipped=zipped) as trace:
        assert list(trace) == [Event(1, 1, "like"), Event(2, 1, "like")]
        assert trace.broken_lines == 1
        (said,) = trace.broken
    assert said.startswith("line 3: ")
    assert why in said
    assert len(said) < 150


@relaxed
@given(st.lists(EVENT | st.sampled_from(sorted(BROKEN)), max_size=3 * MAX_DESCRIBED))
@example([""] * (MAX_DESCRIBED + 1))
def test_every_broken_line_is_counted(items: list[Event | str]) -> None:
    lines = [item if isinstance(item, str) else line(item) for item in items]
    numbers = [number for number, item in enumerate(items, start=2) if isinstance(item, str)]
    with trace_of(*lines) as trace:
        for _ in range(2):  # each iteration starts at zero
            assert list(trace) == [item for item in items if isinstance(item, Event)]
            assert trace.broken_lines == len(numbers)
            said = [int(text.removeprefix("line ").partition(":")[0]) for text in trace.broken]
            assert said == numbers[:MAX_DESCRIBED]


def test_no_id_beyond_the_last_with_leading_zeros() -> None:
    with trace_of(f"0,{'0' * 19}1{'9' * 19},1,like") as trace:
        assert list(trace) == []
        assert trace.broken_lines == 1


def test_a_stray_quote_breaks_only_its_line() -> None:
    with trace_of("0,1,1,like", '0,"2,1,like', "0,3,1,like", "0,4,1,like") as trace:
        assert [event.user_id for event in trace] == [1, 3, 4]
        assert trace.broken_lines == 1


def test_a_very_long_line_is_broken() -> None:
    with trace_of("0,1,1,like", f"0,{'2' * 200_000},1,like", "0,3,1,like") as trace:
        assert [event.user_id for event in trace] == [1, 3]
        assert trace.broken_lines == 1


# -- files that cannot be read ---------------------------------------------------------------------


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        list(Trace(tmp_path / "missing.csv"))
    with pytest.raises(TraceError, match="cannot be read: Is a directory"):
        list(Trace(tmp_path))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\n",
        b"1,2,3,like\n",
        b"user_id,item_id,ts_seconds,type\n1,2,3,like\n",
        b"ts_seconds,user_id,item_id,type,more\n",
        b"\n" + HEAD.encode(),
        HEAD.upper().encode(),
        HEAD.replace(",", ";").encode(),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_no_header(
    write: Callable[[bytes], Trace], head: bytes, pack: Callable[[bytes], bytes]
) -> None:
    trace = write(pack(head))
    with pytest.raises(TraceError, match=f"does not begin with {HEADER}"):
        list(trace)
    with pytest.raises(TraceError):
        trace.types()
    with pytest.raises(TraceError):
        trace.outcome()


def test_binary_garbage(write: Callable[[bytes], Trace]) -> None:
    noise = random.Random(5)  # noqa: S311 - the same noise in each run
    for size in (1, 2, 3, 100, 10_000):
        for magic in (b"", b"\x1f\x8b", b"PK\3\4", b"\xff\xfe"):
            with pytest.raises(TraceError):
                list(write(magic + noise.randbytes(size)))


def test_truncated_gzip(write: Callable[[bytes], Trace], tmp_path: Path) -> None:
    synthesize(tmp_path / "whole.csv", 300, ["like", "love"])
    packed = gzip.compress((tmp_path / "whole.csv").read_bytes())
    for size in range(0, len(packed), 7):
        with pytest.raises(TraceError):
            list(write(packed[:size]))
    assert len(list(write(packed))) == 300


def test_damaged_gzip(write: Callable[[bytes], Trace], tmp_path: Path) -> None:
    synthesize(tmp_path / "whole.csv", 300, ["like", "love"])
    packed = gzip.compress((tmp_path / "whole.csv").read_bytes())
    for place in range(10, len(packed), 37):  # after the header
        damaged = bytearray(packed)
        damaged[place] ^= 0xFF
        with pytest.raises(TraceError):
            list(write(bytes(damaged)))


@pytest.mark.parametrize(
    "zipped",
    [
        False,
        pytest.param(
            True,
        ),
    ],
)
def test_the_file_is_closed(zipped: bool) -> None:
    with trace_of("0,1,1,like", zipped=zipped) as trace, warnings.catch_warnings(record=True) as w:
        warnings.simplefilter("always", ResourceWarning)
        list(trace)
    assert w == []

"""A history comes back as it was recorded, also when its writer was killed."""

from __future__ import annotations

from pathlib import Path

from chaos.history import MAX_CALL_S, Fate, Kind, Recorder, read


def test_reading_a_history_gives_what_was_recorded(tmp_path: Path) -> None:
    with Recorder(tmp_path / "w0.jsonl") as recorder:
        first = recorder.begin(Kind.WRITE, 7, 1, "like")
        second = recorder.begin(Kind.READ, 7, 1, None)
        recorder.end(second, value="like")
        recorder.end(first, status="created", version=5)
        recorder.end(recorder.begin(Kind.WRITE, 7, 2, None), Fate.REFUSED)
    one, two, three = read([tmp_path / "w0.jsonl"])
    assert (one.writer, one.kind, one.fate, one.value) == ("w0", Kind.WRITE, Fate.DONE, "like")
    assert (one.status, one.previous, one.version) == ("created", None, 5)
    assert (two.kind, two.value) == (Kind.READ, "like")
    assert one.began < two.began < two.ended < one.ended < three.began < three.ended
    assert three.fate is Fate.REFUSED


def test_calls_of_a_killed_writer_are_open(tmp_path: Path) -> None:
    path = tmp_path / "w0.jsonl"
    with Recorder(path) as recorder:
        done = recorder.begin(Kind.WRITE, 7, 1, "like")
        recorder.begin(Kind.WRITE, 7, 2, "like")
        recorder.end(done, status="created", version=5)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])  # killed while it wrote the last line
    assert [op.fate for op in read([path])] == [Fate.OPEN, Fate.OPEN]
    path.write_bytes(whole)
    first, second = read([path])
    assert (first.fate, second.fate) == (Fate.DONE, Fate.OPEN)
    assert second.ended == second.began + MAX_CALL_S


def test_a_writer_killed_before_it_opened_its_file_made_no_call(tmp_path: Path) -> None:
    assert read([tmp_path / "writer0-1.jsonl"]) == []

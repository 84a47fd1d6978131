"""Notes, and runs that go on in another file."""

from __future__ import annotations

import io

import numpy as np
import pytest

from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.record import FIRST_KIND, Batch
from datacrumbs.trace.notes import DEGRADED, LOST, Note
from datacrumbs.trace.reader import read_traces

from .texts import lines_of

PROVENANCE = {"plan": "sha256:12"}


def in_parts(synthetic, every: int = 2) -> list[bytes]:
    streams = [io.BytesIO()]
    writer = synthetic.new_writer(streams[0])
    for number, batch in enumerate(synthetic.batches(7, size=100), 1):
        writer.write(batch)
        if number % every == 0:
            streams.append(io.BytesIO())
            assert writer.continue_in(streams[-1], PROVENANCE) is streams[-2]
    synthetic.finish(writer)
    return [stream.getvalue() for stream in streams]


def test_each_part_can_be_read_alone(synthetic) -> None:
    parts = in_parts(synthetic)
    assert len(parts) > 3
    identities: list[int] = []
    for number, part in enumerate(parts):
        names, threads = set(), set()
        lines = lines_of(part)
        assert [line["name"] for line in lines[:2]] == ["HH", "datacrumbs_run"]
        assert lines[1]["args"]["part"] == lines[-1]["args"]["part"] == number
        for line in lines:
            if line["name"] in {"HH", "FH", "SH"}:
                names.add(line["args"]["value"])
            elif line["name"] == "thread_name":
                threads.add((line["pid"], line["tid"]))
            elif line["ph"] == "X":
                used = {
                    value for key, value in line["args"].items() if key in {"hhash", "fhash"} or key.endswith("_hash")
                }
                assert used <= names
                assert (line["pid"], line["tid"]) in threads
        calls = [line for line in lines if line["ph"] == "X"]
        identities += [call["id"] for call in calls]
        assert lines[-1]["args"]["lines"] == len(calls)
        assert ("continued" in lines[-1]["args"]) == (number < len(parts) - 1)
    records = synthetic.records(7)
    assert sorted(identities) == list(range(int((records["function"] < FIRST_KIND).sum())))


def test_a_name_stands_once_in_each_part(synthetic) -> None:
    for part in in_parts(synthetic):
        values = [line["args"]["value"] for line in lines_of(part) if line["name"] in {"FH", "SH"}]
        assert len(values) == len(set(values))


def test_a_run_is_complete_when_all_parts_are_there(synthetic, tmp_path) -> None:
    paths = []
    for number, part in enumerate(in_parts(synthetic)):
        paths.append(tmp_path / f"run.{number}.pfw.gz")
        paths[-1].write_bytes(part)
    assert all(file.complete for file in read_traces(paths).files)
    first, *rest = read_traces(paths[1:]).files
    assert first.shortcoming == "part of a run: part 0 is not here"
    assert all("part 0 is not here" in file.shortcoming for file in rest)
    short = read_traces(paths[:-1]).files
    assert short[-1].shortcoming == f"part of a run: part {len(paths) - 1} is not here"
    assert short[0].complete


def test_a_full_disk_at_the_change_of_files_is_told(synthetic) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    writer = synthetic.new_writer(io.BytesIO())
    records = synthetic.records(3)
    writer.write(synthetic.batches(3)[0])
    with pytest.raises(DatacrumbsError, match="No space left"):
        writer.continue_in(Full(), PROVENANCE)
    before = int(writer.recorded.sum())
    writer.write(Batch(records))
    writer.flush()
    assert int(writer.recorded.sum()) == before
    assert int(writer.lost["unwritten"].sum()) == len(records)


def test_notes_say_what_and_when(synthetic, tmp_path) -> None:
    stream = io.BytesIO()
    writer = synthetic.new_writer(stream)
    lost = Note(LOST, 5000, 9000, synthetic.READ, {"cause": "ring_full", "calls": 17})
    writer.note(lost, Note(DEGRADED, 6000, 7999))
    synthetic.finish(writer, {synthetic.READ: 17})
    notes = [line["args"] for line in lines_of(stream.getvalue()) if line["name"] == "datacrumbs_note"]
    begin = (synthetic.EPOCH + 5000) // 1000
    assert notes == [
        {
            "event": "lost", "begin": begin, "end": begin + 4, "function": synthetic.READ, "name": "read",
            "symbol": "read", "category": "POSIX", "cause": "ring_full", "calls": 17,
        },
        {"event": "degraded", "begin": begin + 1, "end": (synthetic.EPOCH + 7999) // 1000},
    ]  # fmt: skip
    path = tmp_path / "run.pfw.gz"
    path.write_bytes(stream.getvalue())
    (file,) = read_traces([path]).files
    assert file.notes == notes
    assert file.complete
    assert not len(np.flatnonzero(writer.lost["unwritten"]))

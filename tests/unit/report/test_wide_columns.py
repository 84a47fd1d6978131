"""Time of calls themselves, by the clock, and its share of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.report import wide_columns

from .printed import rows_of

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"f1": "/data/one", "f2": "/data/two"}


@pytest.fixture
def trace(made, tmp_path: Path) -> Path:
    call = made.call
    calls = [
        call("H5Dwrite", "HDF5", 1000, 100),
        call("pwrite", "SYS", 1010, 30, fhash="f1", bytes=7),
        call("pwrite", "SYS", 1050, 20, fhash="f2", bytes=7),
        # Beside it, in another thread and in another process.
        call("pwrite", "SYS", 1020, 40, fhash="f1", bytes=7, thread=8),
        call("pwrite", "SYS", 1900, 100, fhash="f1", bytes=7, process=9),
        call("fsync", "SYS", 1950, 0, fhash="f1"),
    ]
    return made.write(tmp_path / "run.pfw.gz", calls, FILES)


def rows(capsys, name: str, *arguments: object) -> list[dict[str, Any]]:
    return rows_of(capsys, name, *arguments, "--wide")


@pytest.mark.parametrize("together", [1_000_000, 2])
def test_functions_and_layers(trace: Path, capsys, monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    monkeypatch.setattr(wide_columns, "ROWS", together)
    found = {row["name"]: row for row in rows(capsys, "functions", trace, "--by", "function")}
    keys = ("time_us", "self_us", "wall_us", "share")
    assert tuple(found["H5Dwrite"][key] for key in keys) == (100, 50, 100, 0.1)
    # 1010 to 1070 and 1900 to 2000
    assert tuple(found["pwrite"][key] for key in keys) == (190, 190, 160, 0.16)
    assert tuple(found["fsync"][key] for key in keys) == (0, 0, 0, 0)
    layers = {row["layer"]: row for row in rows(capsys, "layers", trace, "--by", "layer")}
    assert tuple(layers["system calls"][key] for key in keys) == (190, 190, 160, 0.16)


@pytest.mark.parametrize("together", [1_000_000, 2])
def test_files_and_processes(trace: Path, capsys, monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    monkeypatch.setattr(wide_columns, "ROWS", together)
    files = {row["path"]: row["wall_us"] for row in rows(capsys, "files", trace, "--by", "file")}
    assert files == {"/data/one": 150, "/data/two": 20}
    processes = {row["pid"]: row for row in rows(capsys, "processes", trace, "--by", "process")}
    assert {pid: row["wall_us"] for pid, row in processes.items()} == {7: 100, 9: 100}
    assert "self_us" not in processes[7]
    (directory,) = rows(capsys, "directories", trace, "--by", "directory")
    assert directory["wall_us"] == 160


@pytest.mark.parametrize("selection", [("--path", "*/two"), ("--name", "pwrite"), ("--since", "0.0009")])
def test_the_share_of_selected_calls_is_one_of_the_run(trace: Path, capsys, selection: tuple[str, str]) -> None:
    for row in rows(capsys, "functions", trace, "--by", "function", *selection):
        assert row["share"] == row["wall_us"] / 1000


def test_where_calls_were_added_up_these_columns_are_not_there(made, tmp_path: Path, capsys) -> None:
    trace = made.write(tmp_path / "run.pfw.gz", [], FILES, after=[made.profile("read", "SYS", 1, 11)])
    (row,) = rows(capsys, "functions", trace, "--by", "function")
    assert not {"self_us", "wall_us", "share"} & set(row)

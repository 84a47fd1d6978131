"""A selection that leaves no call says which part of it does, and what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datacrumbs.commands.report import COMMAND

from .printed import FILES, data_of, text_of

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

SAID = {
    "--rank 3": "--rank: no call is of rank 3; ranks: 0-1",
    "--rank 3 --rank 7": "--rank: no call is of rank 3, 7; ranks: 0-1",
    "--pid 1": "--pid: no call is of process 1; processes: 90, 100, 101",
    "--name nothing*": "--name: no call is of a function nothing*; 2 functions: read, write",
    "--path /absent/*": f"--path: no call is on a file /absent/*; 2 files: {FILES['f1']}, {FILES['f2']}",
    "--not-path /data/*": "--not-path: all calls are on files that it leaves out",
    "--since 7s": "--since: no call ends at or after it; the calls are in the 2.000 s after the first one began",
    "--until 900000000000000": "",
    "--rank 0 --name read": "no call is left by --name and --rank together; each of them alone leaves some",
    "--rank 3 --name read": "--rank: no call is of rank 3; ranks: 0-1",
    "--rank 0": "",
    "": "",
}


@pytest.fixture
def trace(made: ModuleType, tmp_path: Path) -> Path:
    calls, before = [], []
    for rank in range(2):
        process = 100 + rank
        before.append(made.metadata("PR", {"hhash": "00", "name": "rank", "value": str(rank)}, process))
        calls.append(made.call("write", "POSIX", 1_000 + 2_000_000 * rank, 40, process=process, fhash="f1"))
    calls.append(made.call("read", "POSIX", 1_500, 40, process=90, fhash="f2"))
    return made.write(tmp_path / "run.pfw.gz", calls, FILES, before=before)


@pytest.mark.parametrize("words", SAID)
def test_what_leaves_nothing_is_named(trace: Path, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    document = data_of(capsys, trace, *words.split())
    assert document.get("nothing_selected", "") == SAID[words]
    assert bool(document["functions"]) == (not SAID[words])
    printed = " ".join(text_of(capsys, trace, *words.split()).split())
    assert (f"nothing selected: {SAID[words]}" in printed) == bool(SAID[words])


@pytest.mark.parametrize(
    "form", [["--csv"], ["--export", "out.csv"], ["--html", "out.html"], ["--compare", "run.pfw.gz"]]
)
def test_output_that_does_not_say_so_is_warned_of(
    trace: Path, form: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trace.parent)
    assert COMMAND.run([str(trace), *form, "--pid", "1"]) == 0
    assert f"nothing selected: {SAID['--pid 1']}\n" in capsys.readouterr().err
    assert COMMAND.run([str(trace), *form, "--pid", "90"]) == 0
    assert "nothing selected" not in capsys.readouterr().err


def test_a_table_of_what_did_not_happen_is_no_empty_selection(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert text_of(capsys, trace, "--by", "error", "--pid", "90").startswith("Failed calls: none\n")
    assert "nothing_selected" not in data_of(capsys, trace, "--by", "error", "--pid", "90")


def test_a_trace_without_calls_is_no_empty_selection(
    made: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = made.write(tmp_path / "empty.pfw.gz", [])
    assert "nothing_selected" not in data_of(capsys, empty, "--pid", "1")


def test_engines_name_the_options(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("dask")
    document = data_of(capsys, trace, "--engine", "dask", "--pid", "1", "--rank", "3")
    assert document["nothing_selected"] == "no call is left by --pid and --rank"
    assert "nothing_selected" not in data_of(capsys, trace, "--engine", "dask", "--by", "channel", "--pid", "90")

"""Tables that are made run by run and added up: the same as those of one process, to the last digit."""

from __future__ import annotations

import json
import random
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.commands.report import COMMAND
from datacrumbs.errors import DatacrumbsError
from datacrumbs.report import distributed
from datacrumbs.report.call_selection import CallSelection
from datacrumbs.report.distributed import read_distributed, run_share
from datacrumbs.trace.reader import read_traces

from .printed import data_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

BEGIN = 1_790_000_000_000_000
FILES = {"00000000000000a1": "/shared/x", "00000000000000a2": "/local/y", "00000000000000a3": "pipe:[7]"}
NODES, CALLS = 5, 101
VIEWS = ("function", "file", "channel", "process", "rank", "node", "layer", "error", "size")
VIEWS += ("directory", "series", "filesystem", "time")


def node(made: ModuleType, directory: Path, number: int) -> Path:
    """A node's trace: library calls with system calls inside, ranks, failures, calls whose end is not seen."""
    randomness = random.Random(number)
    calls: list[dict[str, Any]] = []
    lines = [
        made.metadata(
            "datacrumbs_mount", {"point": point, "local": int(point == "/local"), "type": f"type{len(point)}"}
        )
        for point in ("/", "/local")
    ]
    for process in (100, 101):
        rank = {"rank": 2 * number + process - 100, "size": 2 * NODES + 1, "job_id": 4711}
        lines += [
            made.metadata("PR", {"hhash": "00", "name": name, "value": str(value)}, process)
            for name, value in rank.items()
        ]
        lines.append(made.metadata("process_name", {"name": f"app{number}"}, process))
        now = BEGIN
        for _ in range(CALLS):
            lasted = randomness.randrange(0, 300)
            about: dict[str, Any] = {"process": process, "fhash": randomness.choice(list(FILES)), "bytes": lasted}
            failed = {"errno": 2, "ret": -1, "bytes": None} if lasted % 7 == 0 else {}
            calls.append(made.call("fwrite", "STDIO", now, lasted + 10, **about))
            calls.append(made.call("write", "POSIX", now + 3, lasted, **(about | failed)))
            calls.append(made.call("close", "POSIX", now + lasted + 11, 0, **(about | {"ret": None, "bytes": None})))
            now += lasted + 17
    path: Path = made.write(
        directory / f"node{number}.pfw.gz", calls, FILES, host=f"node{number}", before=lines, run_id=f"4711-{number}"
    )
    return path


@pytest.fixture
def directory(made: ModuleType, tmp_path: Path) -> Path:
    for number in range(NODES):
        node(made, tmp_path, number)
    return tmp_path


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers' work done here."""

    def computed(function: Callable[..., object], tasks: list[tuple[Any, ...]]) -> list[object]:
        return [function(*task) for task in tasks]

    monkeypatch.setattr(distributed, "_computed", computed)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("view", VIEWS)
def test_the_same_to_the_last_digit(directory: Path, capsys: pytest.CaptureFixture[str], view: str) -> None:
    for options in ([], ["--limit", "3"], ["--name", "*write"], ["--rank", "3", "--path", "/*"]):
        command = [directory, "--by", view, "--json", *options]
        assert text_of(capsys, *command, "--engine", "dask") == text_of(capsys, *command)


@pytest.mark.usefixtures("at_once")
def test_the_text_is_the_same(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for view in VIEWS:
        assert text_of(capsys, directory, "--by", view, "--engine", "dask") == text_of(capsys, directory, "--by", view)
    tables = data_of(capsys, directory, "--engine", "dask")
    alone = data_of(capsys, directory)
    assert (tables["functions"], tables["files"]) == (alone["functions"], alone["files"])


@pytest.mark.usefixtures("at_once")
def test_files_of_one_run_stay_together(made: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The outer call stands in one file, what is inside of it in the other."""
    outer = [made.call("fwrite", "STDIO", BEGIN, 1_000, bytes=7)]
    inner = [made.call("write", "POSIX", BEGIN + 23 * n, 11, bytes=7) for n in range(41)]
    for part, calls in enumerate((outer, inner)):
        made.write(tmp_path / f"{part}.pfw.gz", calls, part=part)
    command = [tmp_path, "--by", "process", "--json"]
    both = text_of(capsys, *command, "--engine", "dask")
    assert both == text_of(capsys, *command)
    assert [row["count"] for row in json.loads(both)["processes"]] == [1, 0]


@pytest.mark.usefixtures("at_once")
def test_calls_that_would_count_twice_are_refused(directory: Path) -> None:
    copy = directory / "copy.pfw.gz"
    copy.write_bytes((directory / "node0.pfw.gz").read_bytes())
    with pytest.raises(DatacrumbsError, match="counted twice"):
        COMMAND.run([str(directory), "--by", "node", "--engine", "dask"])


@pytest.mark.usefixtures("at_once")
def test_what_only_one_process_can_estimate_is_refused(made: ModuleType, tmp_path: Path) -> None:
    made.write(tmp_path / "p.pfw.gz", [], before=[made.profile("write", "POSIX", BEGIN, 23)])
    with pytest.raises(DatacrumbsError, match="not every call has a line"):
        read_distributed([tmp_path / "p.pfw.gz"], CallSelection(), ["function"])


def test_moments_count_from_the_epoch(directory: Path) -> None:
    with pytest.raises(DatacrumbsError, match="epoch microseconds"):
        read_distributed(list(directory.iterdir()), CallSelection(since=1), ["function"])


@pytest.mark.parametrize(
    "option", [["--html", "x"], ["--explain", "write"], ["--fail-on", "note"], ["--align", "mpi"], ["--wide"]]
)
def test_only_tables(directory: Path, option: list[str]) -> None:
    with pytest.raises(DatacrumbsError, match=f"--engine and {option[0]} exclude each other"):
        COMMAND.run([str(directory), "--engine", "dask", *option])


def test_what_works_is_said(directory: Path) -> None:
    with pytest.raises(
        DatacrumbsError, match="--engine and --by pattern exclude each other: --by pattern needs the calls"
    ) as caught:
        COMMAND.run([str(directory), "--engine", "dask", "--by", "pattern"])
    assert caught.value.hint.startswith("with --engine: tables")


def test_without_dask_the_extra_is_named(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask", None)
    monkeypatch.delenv(distributed.SCHEDULER, raising=False)
    with pytest.raises(DatacrumbsError, match="--engine dask needs the Python package dask") as caught:
        COMMAND.run([str(directory), "--engine", "dask"])
    assert caught.value.hint == "pip install 'datacrumbs[dask]'"


def test_with_dask_itself(directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask")
    monkeypatch.delenv(distributed.SCHEDULER, raising=False)
    command = [directory, "--by", "rank", "--json"]
    assert text_of(capsys, *command, "--engine", "dask") == text_of(capsys, *command)


def test_a_share_holds_no_calls(directory: Path) -> None:
    share = run_share([directory / "node0.pfw.gz"], CallSelection(), ["layer"])
    table = share.tables["layer"]
    assert len(table.parts) < 10
    assert len(table.durations) <= 2 * 311


@pytest.mark.usefixtures("at_once")
def test_calls_inside_the_kernel_count_where_no_others_of_their_run_are(
    made: ModuleType, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = [made.call("vfs_write", "VFS", BEGIN + 20 * n, 11, bytes=7, fhash=next(iter(FILES))) for n in range(43)]
    made.write(directory / "kernel.pfw.gz", calls, FILES, host="kernel", run_id="kernel")
    command = [directory, "--by", "node", "--json"]
    both = text_of(capsys, *command, "--engine", "dask")
    assert both == text_of(capsys, *command)
    (row,) = [row for row in json.loads(both)["nodes"] if row["host"] == "kernel"]
    assert (row["count"], row["bytes"]) == (43, 7 * 43)


def test_calls_that_do_not_fit_into_memory_stay_in_their_files(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "read_traces", partial(read_traces, memory=1))
    share = run_share([directory / "node0.pfw.gz"], CallSelection(), ["function"])
    assert share.tables["function"].parts["calls"].sum() == 2 * 3 * CALLS

"""The name of a call's file: that of the open file, whatever the kernel used its memory for before."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from datacrumbs.model.plan import Plan
from datacrumbs.model.record import CUT, NameKind, RecordKind

from .conftest import Tracer, system_call_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from datacrumbs.system import SystemConfiguration

    from .conftest import Trace

pytestmark = pytest.mark.kernel

COUNT_SLOT = 1


@pytest.fixture(scope="module", params=[("read", "openat"), ("read",)], ids=["opens seen", "opens not seen"])
def reader(request: pytest.FixtureRequest, engine_state: Path, configuration: SystemConfiguration) -> Iterator[Tracer]:
    """An engine for reads, with or without the calls that open files."""
    with Tracer(Plan((), (system_call_group(request.param),)), engine_state, configuration) as tracer:
        yield tracer


def run(reader: Tracer, *command: str) -> tuple[Trace, dict[int, str], dict[int, str]]:
    """Length of each read -> the name that the program saw, and the one in the trace."""
    trace = reader.run(*command, stdout=subprocess.PIPE, text=True)
    assert trace.status == 0
    lines = (line.split(" ", 1) for line in str(trace.output).splitlines())
    expected = {int(length): name for length, name in lines}
    reads = [call for call in trace.named("read") if int(call["values"][COUNT_SLOT]) in expected]
    assert len(reads) == len(expected)
    return trace, expected, {int(call["values"][COUNT_SLOT]): trace.path(call["file"]) for call in reads}


def test_files_that_follow_one_another_have_their_own_names(
    reader: Tracer, build: Callable[..., Path], tmp_path: Path
) -> None:
    _, expected, told = run(reader, str(build("names.c")), str(tmp_path))
    assert len(expected) == 2 * 61 + 23 + 2 + 7 * 23 + 3 * 41
    assert {length: told[length] for length in expected if told[length] != expected[length]} == {}


DEPTH = 64
PLACES = {
    101: "old/before",
    103: "new/after",
    107: "jail/dir/inroot",
    109: "jail/dir/inroot",
    113: "original/one",
    127: "bound/two",
    131: "original/three",
    137: "memory/inside",
    139: "jail/dir/same",
    149: "jail/dir/same",
    151: "jail/dir/same",
    157: "jail/top",
    167: "original/named",
    173: "original/named2",
    179: "original/gone (deleted)",
    181: "memory/lower/file",
    191: "over/file",
    193: "over/moved",
    199: "original/there",
    211: "original/there",
    227: "original/named2",
    229: "original/there",
}
"""Length of each write of places.c -> where its file was then."""
PASSED = {157: "jail/dir/../top", 179: "original/gone", 211: "original/../link/there"}
"""Those that the program opened by another name than that of their place."""


@pytest.fixture(scope="module", params=[("write", "openat", "openat2"), ("write",)], ids=["opens seen", "not seen"])
def places(
    request: pytest.FixtureRequest,
    engine_state: Path,
    configuration: SystemConfiguration,
    build: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[int, str], bool]:
    """The directory of places.c, length of each write -> name of its file, and whether the opens were seen."""
    directory = tmp_path_factory.mktemp("places")
    with Tracer(Plan((), (system_call_group(request.param),)), engine_state, configuration) as tracer:
        trace = tracer.run(str(build("places.c")), str(directory))
    assert trace.status == 0
    told = {int(call["result"]): trace.path(call["file"]) for call in trace.named("write")}
    return directory, told, "openat" in request.param


def test_a_file_has_the_name_it_was_opened_by_or_that_of_its_place(places: tuple[Path, dict[int, str], bool]) -> None:
    directory, told, opens_seen = places
    expected = {**PLACES, **(PASSED if opens_seen else {})}
    if 167 not in told:  # the file system lacks O_TMPFILE
        del expected[167], expected[173]
    if 191 not in told:  # the kernel lacks overlayfs
        del expected[191], expected[193]
    assert {length: told[length] for length in expected} == {
        length: f"{directory}/{name}" for length, name in expected.items()
    }


def test_a_file_without_a_name_is_in_the_directory_it_was_made_in(places: tuple[Path, dict[int, str], bool]) -> None:
    directory, told, _ = places
    if 163 in told:
        assert re.fullmatch(re.escape(f"{directory}/original/#") + r"\d+ \(deleted\)", told[163])


def test_a_path_that_is_too_deep_says_that_its_beginning_is_missing(places: tuple[Path, dict[int, str], bool]) -> None:
    _, told, opens_seen = places
    assert told[197] == CUT + "/".join(["d"] * (DEPTH if opens_seen else DEPTH - 1) + ["bottom"])


def executed(tracer: Tracer, *command: str, **options: object) -> list[str]:
    """What the processes of a command executed, in order, by name; the launcher's own program first."""
    trace = tracer.run(*command, **options)
    assert trace.status == 0
    return [trace.path(event["file"]) for event in trace.events if event["function"] == RecordKind.EXEC]


def test_a_process_is_named_by_what_it_runs(tracer: Tracer, build: Callable[..., Path], tmp_path: Path) -> None:
    program = str(build("run_by_descriptor.c"))
    true = tmp_path / "true"
    shutil.copy("/bin/true", true)
    link = tmp_path / "link"
    link.symlink_to(true)
    assert executed(tracer, program, "descriptor", str(link)) == [program, str(true)]
    for _ in range(7):
        assert executed(tracer, program, "after", str(true), str(link)) == [program, str(true)]
    assert executed(tracer, program, "itself", str(true)) == [program, program, str(true)]
    assert executed(tracer, program, "relative", "./link", cwd=tmp_path) == [program, f"{tmp_path}/./link"]


OPENED = """
import os, sys
os.chdir(sys.argv[1])
for name in ("plain", "sub/plain", "sub/a_long_name_of_a_file", "link", "twin", "way/plain", "way/../sub/plain"):
    os.close(os.open(name, os.O_RDONLY))
    os.close(os.open(os.path.abspath("sub") + "/../" + name if name == "plain" else os.path.abspath(name), os.O_RDONLY))
"""


def test_the_place_is_told_where_it_is_not_the_name(tracer: Tracer, tmp_path: Path) -> None:
    """Links that are longer than, and as long as, their targets; `..`; and plain paths, which have one name."""
    (tmp_path / "sub").mkdir()
    for name in ("plain", "sub/plain", "sub/a_long_name_of_a_file", "real"):
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("sub/plain")
    (tmp_path / "twin").symlink_to("real")
    (tmp_path / "way").symlink_to("sub")
    trace = tracer.run("/usr/bin/python3", "-I", "-c", OPENED, str(tmp_path))
    assert trace.status == 0
    told = {
        (trace.path(name.base).removeprefix(f"{tmp_path}/"), name.text.removeprefix(f"{tmp_path}/"))
        for name in trace.names.values()
        if name.kind is NameKind.PLACE and name.text.startswith(f"{tmp_path}/")
    }
    assert told == {
        ("sub/../plain", "plain"),
        ("link", "sub/plain"),
        ("twin", "real"),
        ("way/plain", "sub/plain"),
        ("way/../sub/plain", "sub/plain"),
    }


def test_a_path_that_is_too_long_says_that_its_beginning_is_missing(
    places: tuple[Path, dict[int, str], bool],
) -> None:
    _, told, _ = places
    *directories, last = told[223].removeprefix(CUT).split("/")
    assert told[223].startswith(CUT)
    assert (last, set(directories)) == ("bottom", {"n" * 250})
    assert 0 < len(directories) < 19

"""The file of a call on a descriptor, however the descriptor came to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from datacrumbs.model.record import CallFlag

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def writes(tracer, build: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory):
    """Length of each write -> path of its file; lengths are unique primes."""
    directory = tmp_path_factory.mktemp("files")
    inherited = os.open(directory / "inherited", os.O_CREAT | os.O_WRONLY)
    trace = tracer.run(str(build("files.c")), str(directory), str(inherited), pass_fds=[inherited])
    os.close(inherited)
    assert trace.status == 0
    calls = trace.named("write")
    return trace, directory, {int(call["result"]): trace.path(call["file"]) for call in calls}


@pytest.mark.parametrize(
    ("length", "name"),
    [
        (2, "inherited"),
        (3, "first"),
        (5, "first"),
        (7, "first"),
        (11, "first"),
        (13, "second"),
        (17, "first"),
        (19, "second"),
        (23, "first"),
        (37, "second"),
        (41, "below/third"),
        (43, "renamed"),
        (53, "link"),
    ],
)
def test_file_of_a_write(writes, length: int, name: str) -> None:
    _, directory, paths = writes
    assert paths[length] == str(directory / name)


def test_pipes_and_sockets_are_named_by_what_they_are(writes) -> None:
    _, _, paths = writes
    assert paths[29].startswith("pipe:[")
    assert paths[31].startswith("socket:[")


def test_a_file_that_has_no_name_yet(writes) -> None:
    _, directory, paths = writes
    if 47 in paths:  # the file system may lack O_TMPFILE
        assert paths[47].startswith(str(directory))


def test_failed_calls_name_the_path(writes) -> None:
    trace, directory, _ = writes
    (call,) = trace.named("unlink")
    assert call["flags"] & CallFlag.FAILED
    assert (call["result"], call["errno"]) == (-1, 2)
    assert trace.path(call["file"]) == str(directory / "missing")


def test_both_paths_of_a_rename(writes) -> None:
    trace, directory, _ = writes
    (call,) = trace.named("rename")
    assert trace.path(call["file"]) == str(directory / "second")
    labels = [argument.label for argument in trace.plan.functions[call["function"]].arguments]
    assert trace.path(call["values"][labels.index("newpath")]) == str(directory / "renamed")


def test_standard_streams(tracer, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        trace = tracer.run("/bin/echo", "hello", stdout=out)
    (call,) = trace.named("write")
    assert trace.path(call["file"]) == str(tmp_path / "out")


def test_paths_of_unusual_bytes(tracer, tmp_path: Path) -> None:
    name = b'a "quoted"\n\xff name'
    trace = tracer.run("/bin/cat", os.fsencode(tmp_path) + b"/" + name, stderr=-1)
    wanted = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
    assert wanted in {name.text for name in trace.names.values()}


def test_memory_of_an_open_file_that_is_used_again_has_the_new_name_in_all_threads(
    tracer, build: Callable[..., Path], tmp_path: Path
) -> None:
    trace = tracer.run(str(build("renames.c", "-pthread")), str(tmp_path), "499")
    assert trace.status == 0
    calls = trace.named("write")
    assert len(calls) == 499
    names = {59: "even", 61: "odd"}
    wrong = [call for call in calls if trace.path(call["file"]) != str(tmp_path / names[int(call["result"])])]
    assert not wrong

"""What is looked for among mapped files, and what a process that lies about them brings about."""

from __future__ import annotations

import itertools
import mmap
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from datacrumbs.daemon import finder_process
from datacrumbs.daemon import finding as finding_module
from datacrumbs.daemon.channel import Channel, Received
from datacrumbs.daemon.finder_process import FinderProcess
from datacrumbs.daemon.finding import _Finding, wanted_libraries
from datacrumbs.daemon.identity import Owner
from datacrumbs.daemon.late_files import LateFiles, LateRules
from datacrumbs.daemon.messages import FROM_FINDER, Again, Arguments, Found, Missed, Unseen
from datacrumbs.model.contract import MappingKind
from datacrumbs.model.layouts import MAPPED_KEY, MAPPING
from datacrumbs.model.plan import Attach, Function, Group, Plan, Sought, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = bytes(range(MAPPED_KEY.itemsize))
PLAN = Plan(
    (),
    (
        Group(
            "z", "z", Attach.UPROBE, Target("/opt/libdatum.so.1.2.13", "ab" * 20), (Function("f", "deflate", "POSIX"),)
        ),
    ),
    sought=(Sought("absent", ("libabsent*.so.*",)),),
)


def test_names_of_libraries() -> None:
    """Those that providers name, and those that follow from the plan's targets."""
    absent, z = wanted_libraries(PLAN)
    assert (absent.provider, absent.functions) == ("absent", frozenset())
    assert absent.is_called("/a/libabsent_mt.so.3", "")
    assert not absent.is_called("/a/libabsent.so", "libother.so.1")
    assert (z.provider, z.functions) == ("z", {"deflate"})
    for path, soname in (("/x/libdatum.so.1", ""), ("/x/libdatum.so", ""), ("/x/renamed", "libdatum.so.1")):
        assert z.is_called(path, soname)


def test_a_library_of_functions_that_are_only_followed_is_not_missed() -> None:
    """As HDF5's high-level library, which defines makers of handles, beside transfers of the other one."""
    (chosen,) = PLAN.groups
    followed = replace(chosen, helper=True, functions=(Function("o", "deflateInit", "POSIX"),))
    assert wanted_libraries(replace(PLAN, groups=(chosen, followed)))[1].functions == {"deflate"}


@pytest.fixture
def pair() -> Iterator[tuple[_Finding, Channel]]:
    ours, theirs = (Channel(end, FROM_FINDER, 1 << 16, takes_descriptors=True) for end in socket.socketpair())
    yield _Finding(theirs, PLAN, set()), ours
    ours.close()
    theirs.close()


def mapping(process: int, kind: MappingKind = MappingKind.ALL) -> np.void:
    record = np.zeros(1, MAPPING)[0]
    record["process"], record["kind"], record["time"] = process, kind, time.monotonic_ns()
    record["file"] = np.frombuffer(KEY, MAPPED_KEY)[0]
    return record


@pytest.mark.kernel
def test_only_libraries_that_have_a_function_of_the_plan_are_missed(
    pair: tuple[_Finding, Channel], tmp_path: Path
) -> None:
    finding, channel = pair
    for name, function in (("libdatum.so.9", "deflate"), ("libdatum.so.8", "inflate"), ("libabsent_x.so.3", "any")):
        source = f"int {function}(void) {{ return 1; }}\n"
        command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", tmp_path / name]
        subprocess.run(command, input=source, text=True, check=True)
    program = "import ctypes, sys; [ctypes.CDLL(path) for path in sys.argv[1:]]; print(flush=True); input()"
    command = [sys.executable, "-c", program, *map(str, tmp_path.iterdir())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        finding.look(mapping(process.pid))
        finding.look(mapping(process.pid))
        process.communicate("\n")
    while finding.waiting:
        finding.judge_one()
    said = {}
    while (received := channel.receive()) is not None:
        assert isinstance(received.message, Missed)
        name = PurePath(bytes.fromhex(received.message.path).decode()).name
        assert name not in said
        said[name] = received.message.provider
    assert said == {"libdatum.so.9": "z", "libabsent_x.so.3": "absent"}


@pytest.mark.kernel
def test_a_process_that_is_gone(pair: tuple[_Finding, Channel]) -> None:
    """Its file is told of again when another process maps it."""
    finding, channel = pair
    with subprocess.Popen(["true"]) as process:
        process.wait()
    finding.look(mapping(process.pid, MappingKind.FILE))
    assert channel.receive() == Received(Again(KEY.hex()))


def test_arguments_of_a_process_that_runs() -> None:
    said: list[Arguments] = []
    channel: Any = SimpleNamespace(send=said.append)
    command = [sys.executable, "-c", "print(flush=True); input()", "ä" * 3000]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()  # before that, the kernel may not have set its arguments yet
        record = mapping(process.pid, MappingKind.TAKEN)
        finding_module.say_arguments(channel, record)
        record["time"] = 0  # of a process that had its number before
        finding_module.say_arguments(channel, record)
        process.communicate(b"\n")
    finding_module.say_arguments(channel, mapping(process.pid, MappingKind.TAKEN))
    (found,) = said
    whole = "".join(f"{each}\0" for each in command).encode()
    assert (found.process, found.whole, bytes.fromhex(found.beginning)) == (process.pid, len(whole), whole[:4095])


def test_a_mapped_file_is_called_as_its_user_likes(tmp_path: Path) -> None:
    """By a name that would end a line for most readers of texts."""
    path = tmp_path / "a\rb c"
    path.write_bytes(bytes(4096))
    place = mmap.PROT_READ | mmap.PROT_EXEC
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 4096, mmap.MAP_PRIVATE, place):
        mapped = [str(Path(each).readlink()) for each in finding_module._places(mapping(os.getpid()))]
    assert str(path) in mapped


def test_all_mappings_of_a_process_that_was_denied_are_looked_at_later(
    pair: tuple[_Finding, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    finding, channel = pair
    denied = True
    looked_at = []

    def places(record: np.void) -> list[str]:
        if denied:
            raise PermissionError(13, "Permission denied")
        looked_at.append((int(record["process"]), int(record["address"])))
        return []

    monkeypatch.setattr(finding_module, "_places", places)
    monkeypatch.setattr(finding_module, "_DENIED_LIMIT", 3)
    records = [mapping(process, MappingKind.FILE) for process in (11, 11, 13, 17)]
    for address, record in enumerate(records):
        record["address"] = address
        finding.look(record)
    assert channel.receive() == Received(Unseen(17, "Permission denied"))
    denied = False
    finding.look_again(at_once=True)
    finding.look_again(at_once=True)
    assert looked_at == [(11, 0), (11, 1), (13, 2)]
    assert channel.receive() is None


class Said:
    """What reaches the engine and the log."""

    def __init__(self) -> None:
        self.again: list[bytes] = []
        self.lines: list[str] = []
        targets = SimpleNamespace(files={}, owners={})
        engine: Any = SimpleNamespace(tell_again=self.again.append)
        rules = LateRules(Owner(os.getuid(), os.getgid(), "user"), 1)
        self.files = LateFiles(PLAN, targets, engine, rules, self.lines.append)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        Again("xx"),
        Again(KEY[:-1].hex()),
        Again(bytes(len(KEY)).hex()),
        Missed("xx", 1, 1, "z", ""),
        Found("00", 1, 1, "ab" * 20),
        Found("00", 1, 1, "ab"),
        Arguments(7, "xx", 1),
        Arguments(7, "", 0),
        Arguments(7, "00" * 4096, 4096),
        Arguments(7, "0000", 1),
        Arguments(-7, "00", 1),
    ],
)
def test_what_makes_no_sense_is_passed_over(message: object) -> None:
    said = Said()
    assert said.files.take(Received(message)) is None
    assert not said.again
    assert not said.lines
    assert not said.files.arguments


def test_words_of_the_other_process_are_bounded() -> None:
    said = Said()
    path = ("/" + "x" * 9000).encode().hex()
    note = said.files.take(Received(Missed(path, 1 << 80, 3, "p\n" * 500, "\x1b[31m")))
    assert note
    assert note.begin <= time.monotonic_ns()
    assert all(str(value).isprintable() and len(str(value)) <= 4096 for value in note.details.values())


def test_notes_are_bounded_and_all_are_counted() -> None:
    said = Said()
    missed = Received(Missed(b"/a".hex(), 1, 3, "z", "r"))
    notes = [said.files.take(missed) for _ in range(300)]
    assert sum(note is not None for note in notes) == len(said.lines) == 256
    assert said.files.counts.files_not_probed == 300


def test_what_goes_on_without_end_is_not_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()
    monkeypatch.setattr(finder_process, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    finder: Any = FinderProcess.__new__(FinderProcess)
    finder.is_gone = False
    finder.channel = SimpleNamespace(send=lambda *_: None, receive=lambda _: Received(Unseen(3, "")))
    messages = list(itertools.islice(finder.last_messages(), 1000))
    assert 0 < len(messages) <= 20
    assert finder.is_gone


def found() -> Received:
    descriptor = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    return Received(Found(b"/a".hex(), 1, 3, "ab" * 20), (descriptor,))


def test_a_file_that_fails_while_it_is_looked_at_is_not_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bool:
        raise OSError(5, "Input/output error")

    said = Said()
    monkeypatch.setattr(LateFiles, "_verify", lambda *_: None)
    monkeypatch.setattr(LateFiles, "_is_probed", fail)
    note = said.files.take(found())
    assert note
    assert (note.details["provider"], note.details["reason"]) == ("z", "it cannot be looked at: Input/output error")
    assert said.files.counts.files_not_probed == 1


@pytest.mark.parametrize("is_probed", [True, False])
def test_a_file_that_is_probed_already_does_not_meet_the_limit(
    monkeypatch: pytest.MonkeyPatch, *, is_probed: bool
) -> None:
    said = Said()
    said.files.counts.files_late = said.files.rules.limit
    # All but the look at the file itself, which is not the plan's here.
    monkeypatch.setattr("datacrumbs.daemon.late_files.verify_mapped", lambda *_: None)
    (target,) = (group.target for group in PLAN.groups)
    said.files.targets.files[target] = -1
    said.files.targets.owners[target] = 0
    monkeypatch.setattr(LateFiles, "_is_probed", lambda *_: is_probed)
    note = said.files.take(found())
    assert said.files.counts.files_not_probed == (not is_probed)
    assert (note is None) == is_probed
    assert note is None or note.details["reason"] == "1 file was probed late; late_files allows no more"

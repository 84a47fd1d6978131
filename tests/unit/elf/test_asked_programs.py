"""Programs that compose a plan with what they answer, on a host that lets them take as long as it takes."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from datacrumbs.cache import inspected_files
from datacrumbs.elf import asked_programs, headers
from datacrumbs.elf.asked_programs import NoAnswerError, ask
from datacrumbs.elf.functions import elf_functions
from datacrumbs.elf.ifuncs import resolve_ifuncs
from datacrumbs.elf.python_programs import python_folders

if TYPE_CHECKING:
    from pathlib import Path

STOPS = "kill -STOP $$"  # as one that others let have no processor


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time on the clock is over at once."""
    monkeypatch.setattr(asked_programs, "CLOCK_SECONDS", 0.2)


def test_a_program_is_asked() -> None:
    reader, writer = os.pipe()
    done = ask(
        ["sh", "-c", f"pwd; cat; echo $A; echo b >/proc/self/fd/{writer}; exit 7"],
        {"A": "a"},
        text="in\n",
        folder="/",
        descriptors=[writer],
    )
    os.close(writer)
    assert (done.stdout, done.returncode) == ("/\nin\na\n", 7)
    assert os.read(reader, 10) == b"b\n"
    os.close(reader)


def test_what_a_program_does_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked_programs, "PROCESSOR_SECONDS", 1)
    done = ask(["sh", "-c", "while :; do :; done"], {})
    assert -done.returncode in {signal.SIGXCPU, signal.SIGKILL}


@pytest.mark.usefixtures("late")
def test_a_program_that_gets_no_processor_has_not_answered() -> None:
    with pytest.raises(
        NoAnswerError, match="sh did not answer in 0 s: this host is very busy, or the program is"
    ) as caught:
        ask(["sh", "-c", STOPS], {})
    assert "try again" in caught.value.hint


@pytest.mark.usefixtures("late")
def test_what_it_has_started_ends_with_it(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with pytest.raises(NoAnswerError):
        ask(["sh", "-c", f"sleep 600 & {STOPS}"], {"PATH": os.defpath}, folder=str(tmp_path), descriptors=[writer])
    os.close(writer)
    assert os.read(reader, 1) == b""  # once all that had it have ended
    os.close(reader)


@pytest.mark.usefixtures("late")
def test_an_interpreter_that_does_not_answer_is_not_one_without_libraries(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{STOPS}\n")
    program.chmod(0o755)
    with pytest.raises(NoAnswerError):
        python_folders(program, {})


@pytest.mark.usefixtures("late")
def test_a_compiler_that_does_not_answer_is_not_a_header_without_functions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler, header = tmp_path / "cc", tmp_path / "own.h"
    compiler.write_text(f"#!/bin/sh\n{STOPS}\n")
    compiler.chmod(0o755)
    header.write_text("int own_call(int number);\n")
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(NoAnswerError):
        headers.header_arguments(header, ["own_call"])


def test_what_was_not_answered_in_time_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next time the library may be loaded before the time is over."""
    library = tmp_path / "libown.so"
    source = (
        "static int twice(int x) { return 2 * x; } static int (*resolve(void))(int) { return twice; }\n"
        'int own_call(int) __attribute__((ifunc("resolve")));\n'
    )
    ask(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)], dict(os.environ), text=source)
    functions = elf_functions(library)
    monkeypatch.setattr(inspected_files, "SETTLED_SECONDS", 0)
    with inspected_files.watched() as found:
        assert not resolve_ifuncs(library, functions).refused
    assert found.complete
    monkeypatch.setattr(asked_programs, "CLOCK_SECONDS", 0.0)
    with inspected_files.watched() as found:
        refused = resolve_ifuncs(library, functions).refused
    assert "was not loaded" in refused["own_call"]
    assert f"{sys.executable} did not answer in 0 s" in refused["own_call"]
    assert not found.complete

"""The look of a process without rights at the places that a plan names."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from datacrumbs.elf.functions import elf_functions, elf_target
from datacrumbs.elf.usdt import usdt_probes
from datacrumbs.errors import ExitCode
from datacrumbs.secure.user_rights import LOOKING_ID
from datacrumbs.serving.caller import Caller
from datacrumbs.serving.denial import DenialError
from datacrumbs.serving.limited import Bounds
from datacrumbs.signer import target_check, target_rule
from datacrumbs.signer.policy import PolicyRule

BOUND = 300.0  # seconds until what never comes is a failure


def _takes_memory():
    return bytes(bytearray(1 << 30))


# It is stopped before it can take any, as others could for as long on a busy host.
def _gets_no_processor():
    os.kill(os.getpid(), signal.SIGSTOP)


def _takes_processor_time():
    while True:
        pass


@pytest.mark.parametrize(
    ("work", "words", "code"),
    [
        (_takes_memory, "could not be examined within the limits", ExitCode.REFUSED),
        (_takes_processor_time, "could not be examined within the limits", ExitCode.REFUSED),
        (os.abort, "could not be examined within the limits", ExitCode.REFUSED),
        (_gets_no_processor, "not examined in time: this host is very busy", ExitCode.FAILED),
    ],
)
def test_an_examination_that_ends_badly_is_a_denial(installation, monkeypatch, work, words, code):
    monkeypatch.setattr(target_check, "judged", lambda *_: work())
    clock = 0.2 if work is _gets_no_processor else BOUND
    monkeypatch.setattr(target_check, "LOOK", Bounds(64 << 20, processor_seconds=1, clock_seconds=clock))
    caller = Caller(0, 0, 1, "me", frozenset(), (0,))
    with pytest.raises(DenialError, match=words) as caught:
        target_rule.check_targets(installation.plan(), caller, PolicyRule())
    assert caught.value.exit_code is code


def test_files_are_looked_at_by_a_process_without_rights(monkeypatch):
    def rights(*_):
        return tuple(map(str, (os.getresuid(), os.getresgid(), os.getgroups())))

    monkeypatch.setattr(target_check, "judged", rights)
    wanted = target_rule.no_places(elf_target(Path("/bin/true").resolve()))
    finding = target_check.check_target(wanted, os.getuid(), os.getgid(), [])
    nobody = str((LOOKING_ID,) * 3)
    assert (finding["code"], finding["message"], finding["hint"]) == (nobody, nobody, "[]")
    assert os.geteuid() == 0


VECTORS = """
	.text
	.globl swap, plain
	.type swap, @function
swap:	vpshufd $0x1b, %ymm0, %ymm0
	mov %rdi, (%rsi)
	ret
	.type plain, @function
plain:	lea 1(%rdi), %eax
	push %rbx
	pop %rbx
	ret
"""


@pytest.mark.parametrize(
    ("function", "skip", "problem"),
    [
        ("plain", 0, ""),
        ("plain", 3, ""),
        ("plain", 1, "1 bytes further; expected 0 or 3"),
        ("swap", 5, ""),
        ("swap", 0, "must not be probed: the instruction there is decoded as another one by the kernel"),
    ],
)
def test_places_that_the_kernel_cannot_execute_are_refused(tmp_path, function, skip, problem):
    source, library = tmp_path / "vectors.S", tmp_path / "libvectors.so"
    source.write_text(VECTORS)
    subprocess.run(["cc", "-shared", "-nostdlib", "-Wl,--build-id", "-o", library, source], check=True)
    offset = next(each.offset for each in elf_functions(library) if each.name == function)
    target = elf_target(library)
    wanted = target_rule.no_places(target) | {"functions": [offset], "moved": [(offset, skip, [0])] if skip else []}
    finding = target_check.check_target(wanted, os.getuid(), os.getgid(), [])
    assert problem in finding["message"]
    assert finding["code"] == ("target.place" if problem else "")


def test_usdt_places_that_the_kernel_cannot_execute_are_refused(tmp_path):
    library = tmp_path / "libnote.so"
    source = tmp_path / "note.S"
    note = '.section .note.stapsdt,"","note"\n.4byte 8,28,3\n.asciz "stapsdt"\n.8byte {},0,0\n.asciz "p","n",""\n'
    source.write_text(VECTORS + note.format("swap + 0"))
    subprocess.run(["cc", "-nostdlib", "-static", "-Wl,-e,swap,--build-id", "-o", library, source], check=True)
    offset = next(each.offset for each in elf_functions(library) if each.name == "swap")
    wanted = target_rule.no_places(elf_target(library)) | {"usdt": [(offset, 0)]}
    finding = target_check.check_target(wanted, os.getuid(), os.getgid(), [])
    assert "must not be probed" in finding["message"]


NOTES = """
	.text
	.globl one
	.type one, @function
one:	nop
two:	nop
three:	nop
	ret
	.data
first:	.2byte 0
second:	.2byte 0
"""


def test_a_usdt_place_has_the_semaphore_of_its_note_and_no_other(tmp_path):
    """The kernel takes one semaphore for a place: a false one would keep the probe from all other runs."""
    library, source = tmp_path / "libnotes.so", tmp_path / "notes.S"
    note = '.section .note.stapsdt,"","note"\n.4byte 8,29,3\n.asciz "stapsdt"\n'
    note += '.8byte {},0,{}\n.asciz "p","{}",""\n.balign 4\n'
    declared = [("one", "first", "a"), ("two", "second", "b"), ("three", "0", "c")]
    source.write_text(NOTES + "".join(note.format(*each) for each in declared))
    subprocess.run(["cc", "-nostdlib", "-static", "-Wl,-e,one,--build-id", "-o", library, source], check=True)
    pairs = {probe.name: (probe.locations[0], probe.semaphore) for probe in usdt_probes(library)}
    (one, first), (_, second), (three, none) = (pairs[name] for name in "abc")
    assert all((first, second))
    assert not none

    def problem(*usdt: tuple[int, int]) -> str:
        wanted = target_rule.no_places(elf_target(library)) | {"usdt": list(usdt)}
        return target_check.check_target(wanted, os.getuid(), os.getgid(), [])["message"]

    assert not problem(*pairs.values())
    for false in ((one, 0), (one, second), (three, first)):
        assert f"{false[1]:#x} is not the semaphore of the probe at {false[0]:#x}" in problem(*pairs.values(), false)

"""Files and places in them that a plan may name."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from datacrumbs.elf.functions import elf_functions
from datacrumbs.model.plan import Argument, Attach, Function, Group, Returns, Target, UsdtPlace
from datacrumbs.serving.caller import Caller

from .deciding import denied, sign

NOBODY = Caller(65534, 65534, 1, "nobody", frozenset({"nogroup"}), (65534,))


MOVABLE = """
int second(void) { return 1; }
__asm__(".globl first\\n.type first, @function\\nfirst: .cfi_startproc\\nxor %edx, %edx\\n"
        "push %rbx\\npop %rbx\\nret\\n.cfi_endproc\\n");
"""


class TestTargets:
    def test_a_moved_build_id(self, installation):
        plan = installation.plan()
        installation.build("int first(void) { return 7; }\nint second(void) { return 8; }\n")
        denied(installation, plan, "target.changed", "the build-id changed")

    def test_a_missing_file_and_a_link(self, installation):
        target = installation.target()
        link = installation.directory / "link.so"
        link.symlink_to(installation.library)
        denied(installation, installation.plan_of(replace(target, path=str(link))), "target.changed", "symbolic link")
        absent = replace(target, path="/absent/$(id)")
        denied(installation, installation.plan_of(absent), "target.changed", "No such file")

    def test_another_kernel(self, installation):
        group = Group("posix", "x", Attach.SYSCALL, Target("", "0.0.1"), (Function("read", "read", "POSIX"),))
        denied(installation, installation.plan(groups=(group,), snippets=()), "target.changed", "release 0.0.1")

    def test_a_place_inside_an_instruction(self, installation):
        inside = installation.offsets()[1] + 1
        plan = installation.plan_of(installation.target(), inside)
        denied(installation, plan, "target.place", f"offset {inside:#x} is not the start of a function")

    def test_a_moved_probe(self, installation):
        installation.build(MOVABLE)
        target = installation.target()
        offset = next(each.offset for each in elf_functions(installation.library) if each.name == "first")
        function = Function("first", "first", "POSIX", offset=offset)

        def moved(skip, *captured):
            arguments = tuple(Argument(index, f"a{index}") for index in captured)
            groups = (
                Group("posix", "libc", Attach.UPROBE, target, (replace(function, skip=skip, arguments=arguments),)),
            )
            return installation.plan(groups=groups, snippets=())

        for skip in (0, 2):
            assert sign(installation, moved(skip))
        for skip in (1, 3):
            denied(
                installation, moved(skip), "target.place", f"at {offset:#x} is {skip} bytes further; expected 0 or 2"
            )
        assert sign(installation, moved(2, 0, 1))
        denied(installation, moved(2, 2), "target.place", "is 2 bytes further; expected 0$")  # it overwrites the third

    def test_returns_that_must_not_be_probed(self, installation):
        installation.build("int other(void) { return 1; }\nint _setjmp(void *where) { return where != 0; }\n")
        offsets = {each.name: each.offset for each in elf_functions(installation.library)}

        def plan(name, returns):
            function = Function("other", "other", "POSIX", offset=offsets[name], returns=returns)
            groups = (Group("posix", "libc", Attach.UPROBE, installation.target(), (function,)),)
            return installation.plan(groups=groups, snippets=())

        assert sign(installation, plan("other", Returns.PROBED))
        assert sign(installation, plan("_setjmp", Returns.TWICE))
        denied(
            installation, plan("_setjmp", Returns.PROBED), "target.place", "the returns of the function at .* must not"
        )

    def test_a_semaphore_that_is_no_semaphore(self, installation):
        function = Function("p", "a:b", "POSIX", offset=installation.offsets()[0], semaphore=64)
        group = Group("posix", "x", Attach.USDT, installation.target(), (function,))
        denied(installation, installation.plan(groups=(group,), snippets=()), "target.place", "not the start")

    @pytest.mark.parametrize("key", ["more_places", "return_places"])
    @pytest.mark.parametrize("place", [UsdtPlace(65), UsdtPlace(0, 64)], ids=["offset", "semaphore"])
    def test_each_place_of_a_usdt_probe_is_looked_at(self, installation, key, place):
        offset = installation.offsets()[0]
        further = replace(place, offset=place.offset or offset)
        function = Function("p", "a:b", "POSIX", offset=offset, **{key: (further,)})
        group = Group("posix", "x", Attach.USDT, installation.target(), (function,))
        denied(installation, installation.plan(groups=(group,), snippets=()), "target.place", "not the start")

    def test_a_file_that_everybody_may_write(self, installation):
        installation.library.chmod(0o666)
        denied(installation, installation.plan(), "target.writable", "writable by all users")

    @pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
    def test_owners(self, installation):
        os.chown(installation.library, NOBODY.uid, NOBODY.gid)
        denied(installation, installation.plan(), "target.owner", "owned by uid 65534, who is neither root nor me")
        assert sign(installation, installation.plan(), NOBODY)
        installation.policy("rules: [{users: ['*'], target_owners: [nobody]}]")
        assert sign(installation, installation.plan())

    @pytest.mark.skipif(os.geteuid() != 0, reason="asks as another user")
    def test_files_are_opened_with_the_callers_rights(self, installation):
        closed = installation.directory / "closed"
        closed.mkdir(mode=0o700)
        target = installation.target()
        hidden = closed / "lib.so"
        hidden.write_bytes(installation.library.read_bytes())
        plan = installation.plan_of(replace(target, path=str(hidden)), 4096)
        absent = installation.plan_of(replace(target, path=f"{closed}/absent.so"), 4096)
        denied(installation, plan, "target.changed", "Permission denied", NOBODY)
        denied(installation, absent, "target.changed", "Permission denied", NOBODY)

    @pytest.mark.skipif(os.geteuid() != 0, reason="others have no root to give up")
    def test_nothing_of_a_file_is_read_with_the_rights_of_root(self, installation, monkeypatch):
        """Not even its build-id: it is parsed, too."""
        monkeypatch.setattr("datacrumbs.probefile.targets.stream_build_id", lambda *_: str(os.getresuid()))
        denied(installation, installation.plan(), "target.changed", r"has \(65522, 65522, 65522\)")

    def test_usdt_probes_of_a_real_program(self, installation):
        program = Path("/usr/bin/python3.11")
        notes = subprocess.run(["readelf", "-n", program], capture_output=True, text=True, check=False).stdout
        if "stapsdt" not in notes:
            pytest.skip("this python has no USDT probes")
        location = int(notes.split("Location: ")[1].split(",")[0], 16)
        semaphore = int(notes.split("Semaphore: ")[1].split()[0], 16)
        load = {line.split()[2]: line.split()[1] for line in _loads(program)}
        function = Function(
            "gc__start",
            "python:gc__start",
            "PYTHON",
            offset=_file_offset(load, location),
            semaphore=_file_offset(load, semaphore),
        )
        group = Group("posix", "x", Attach.USDT, installation.target(program), (function,))
        assert sign(installation, installation.plan(groups=(group,), snippets=()))


def _loads(program: Path) -> list[str]:
    out = subprocess.run(["readelf", "-lW", program], capture_output=True, text=True, check=True).stdout
    return [line for line in out.splitlines() if line.split()[:1] == ["LOAD"]]


def _file_offset(load: dict[str, str], address: int) -> int:
    base = max(int(start, 16) for start in load if int(start, 16) <= address)
    return address - base + int(next(offset for start, offset in load.items() if int(start, 16) == base), 16)

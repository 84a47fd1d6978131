"""How a run starts: with a program that was kept, or with one compiled anew, and the same counts."""

from __future__ import annotations

import shutil
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.configure.site import ProviderEntry
from datacrumbs.engine import method_choice, source
from datacrumbs.engine.bpf_objects import Instructions
from datacrumbs.engine.compiler import compiled
from datacrumbs.engine.engine import Engine, Marks
from datacrumbs.engine.loader import FUNCTIONS
from datacrumbs.errors import DatacrumbsError
from datacrumbs.kernel import structures
from datacrumbs.model.plan import Plan

from .conftest import composed, system_call_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.system import SystemConfiguration
    from datacrumbs.testing import Installation, RunningDaemon, TraceLines

    from .conftest import Tracer

pytestmark = pytest.mark.kernel

COMPILING = "compiling the probe program"
STEPS_BY_TURN, STEPS = 400_000, 60_000
"""Of the verifier in a program at most: where it follows each turn of a loop, and where the kernel counts them."""
STACK, FRAME_STEP = 512, 32
"""Of a program and what it calls, and what the kernel rounds each frame up to."""
LOADS, STORES = {1}, {2, 3}  # classes of instructions
ADD_NUMBER, COPY, CALL = 0x07, 0xBF, 0x85
FRAME = 10


@pytest.fixture
def kept(installation: Installation) -> Iterator[Path]:
    """The directory of kept programs, empty before and after."""
    directory = installation.prefix / "var/lib/datacrumbs/programs"
    shutil.rmtree(directory, ignore_errors=True)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def counted(installation: Installation, probes: Path) -> tuple[dict[str, int], str, TraceLines]:
    """Calls of one command by name, and what the daemon said."""
    with installation.daemon(probes) as daemon:
        daemon.wrap("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=7", "count=1009", "status=none")
        log = daemon.log
        lines = daemon.lines()
    assert all(entry["entered"] == entry["recorded"] for entry in lines.counts.values())
    tally = {name: count for name, count in lines.tally().items() if name in {"read", "write"}}
    return tally, log.read_text(), lines


def mapped(daemon: RunningDaemon) -> str:
    return Path(f"/proc/{daemon.process.pid}/maps").read_text()


def test_a_kept_program_counts_as_one_compiled_now(installation: Installation, probes: Path, kept: Path) -> None:
    first, said_first, _ = counted(installation, probes)
    second, said_second, _ = counted(installation, probes)
    assert first == second
    assert first["write"] == 1009
    assert COMPILING in said_first
    assert COMPILING not in said_second
    (image,) = kept.iterdir()
    assert image.stat().st_mode & 0o077 == 0


def test_what_was_prepared_is_not_compiled_when_a_run_begins(
    installation: Installation, probes: Path, kept: Path
) -> None:
    for compiles in (True, False):
        prepared = installation.command("datacrumbs", "--prepare", probes)
        assert prepared.returncode == 0, prepared.stderr
        assert (COMPILING in prepared.stderr) == compiles
        assert prepared.stderr.endswith("datacrumbs: the probe program is compiled\n")
    tally, said, _ = counted(installation, probes)
    assert COMPILING not in said
    assert tally["write"] == 1009
    assert len(list(kept.iterdir())) == 1


def test_a_program_that_hosts_share_counts_as_one_compiled_now(
    installation: Installation, probes: Path, kept: Path
) -> None:
    first, _, _ = counted(installation, probes)
    configuration = installation.prefix / "etc/datacrumbs/datacrumbs.yaml"
    before = configuration.read_text()
    shared = Path(tempfile.mkdtemp(dir="/opt"))  # where every directory on the way is root's
    try:
        shared.chmod(0o755)
        kept.rename(shared / "programs")
        configuration.write_text(f"program_stores: [{shared}/programs]\n")
        second, said, _ = counted(installation, probes)
        assert (first, COMPILING in said) == (second, False)
        assert not kept.exists() or not list(kept.iterdir())
        shared.chmod(0o777)
        third, said, _ = counted(installation, probes)
        assert (first, COMPILING in said) == (third, True)
        assert f"users other than root can change {shared}; not used" in said
    finally:
        configuration.write_text(before)
        shutil.rmtree(shared)


def test_the_compiler_is_never_in_the_daemon(installation: Installation, probes: Path, kept: Path) -> None:
    for _ in ("cold", "warm"):
        with installation.daemon(probes) as daemon:
            libraries = mapped(daemon)
        assert "libpython" in libraries or "python3" in libraries
        assert "libbcc" not in libraries
        assert "libLLVM" not in libraries
        assert "libclang" not in libraries


def test_a_damaged_program_is_compiled_anew(installation: Installation, probes: Path, kept: Path) -> None:
    first, _, _ = counted(installation, probes)
    (image,) = kept.iterdir()
    data = bytearray(image.read_bytes())
    data[len(data) // 2] ^= 1
    image.write_bytes(data)
    second, said, _ = counted(installation, probes)
    assert f"{image}: damaged: its digest does not match; not used" in said
    assert COMPILING in said
    assert first == second
    assert COMPILING not in counted(installation, probes)[1]


def test_a_stranger_cannot_give_a_program(installation: Installation, probes: Path, kept: Path) -> None:
    first, _, _ = counted(installation, probes)
    (image,) = kept.iterdir()
    shutil.chown(image, 65534, 65534)
    second, said, _ = counted(installation, probes)
    assert "owned by uid 65534, expected root; not used" in said
    assert first == second
    assert image.stat().st_uid == 0


def test_a_kernel_without_cookies_is_refused_before_anything_is_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, configuration: SystemConfiguration
) -> None:
    code = bytearray(method_choice._ASKS_FOR_COOKIE.code)
    code[4:8] = (9973).to_bytes(4, "little")  # a helper that no kernel has, as 174 is for one before 5.15
    monkeypatch.setattr(method_choice, "_ASKS_FOR_COOKIE", Instructions(bytes(code), 0, ()))
    told: list[str] = []
    with pytest.raises(DatacrumbsError, match=r"no attach cookies .* needs Linux 5\.15"):
        Engine.load(Plan((), (system_call_group(("read",)),)), configuration, Marks(0), tmp_path, tell=told.append)
    assert told == []


def test_the_verifier_has_little_to_do(tracer: Tracer) -> None:
    counts = len(structures.function_ids(structures.running_kernel(), structures.TURNS)) == len(structures.TURNS)
    steps = tracer.verified
    print(steps)
    assert {"dc_process_fork", "dc_process_exec", "dc_system_call_enter", "dc_system_call_exit"} <= set(steps)
    assert max(steps.values()) < (STEPS if counts else STEPS_BY_TURN)


def test_frames_fit_the_stack_of_every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    # As for a kernel that cannot cast or count turns; those that can give some programs a stack of their own as well.
    monkeypatch.setattr(structures, "function_ids", lambda *_: {})
    plan = composed(ProviderEntry("sys", preset="all"), ProviderEntry("posix", preset="all"))
    flags = [f"-DDC_WITH_{each}" for each in ("SYSCALL", "UPROBE", "KPROBE", "LATE")]
    code = {each.name: each.instructions for each in compiled(source.assemble(plan), flags, ()).programs}
    numbers = {number: name for name, (number, _) in FUNCTIONS.items()}

    def depth(name: str) -> int:
        return _frame(code[name]) + max(
            (depth(numbers[each]) for each in _called(code[name]) & set(numbers)), default=0
        )

    depths = {name: depth(name) for name in code}
    print(depths)
    assert "dc_library_leave" in depths
    assert {name for name, most in depths.items() if most > STACK} == set()


# Bytes of the stack that a function uses: below r10, which only loads, stores and copies of it name.
def _frame(instructions: bytes) -> int:
    lowest, copies = 0, set()
    for code, registers, offset, immediate in struct.iter_unpack("<BBhi", instructions):
        target, source = registers & 15, registers >> 4
        if code & 7 in STORES | LOADS and (target if code & 7 in STORES else source) == FRAME:
            lowest = min(lowest, offset)
        elif code == ADD_NUMBER and target in copies:
            lowest = min(lowest, immediate)
        copies = copies | {target} if code == COPY and source == FRAME else copies - {target}
    return -lowest // FRAME_STEP * FRAME_STEP + FRAME_STEP * bool(-lowest % FRAME_STEP)


def _called(instructions: bytes) -> set[int]:
    return {immediate for code, _, _, immediate in struct.iter_unpack("<BBhi", instructions) if code == CALL}

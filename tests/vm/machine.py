"""A virtual machine with another kernel, by emulation, on the host's own root or on one of the guest's.

The guest sees the root read-only below an overlay in memory, with the kernel's modules and headers
laid over it; on the host's own, every program, library and header of the host is there. What it is
to run, and what it says, pass through a directory shared with it.
"""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import guests
from .packages import GuestError
from .roots import provide_root

if TYPE_CHECKING:
    from .guests import Guest, GuestKernel

CHECKOUT = Path(__file__).resolve().parents[2]
_INIT = Path(__file__).with_name("init.sh")
_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_blk", "crc32c_generic", "ext4")
_TOOLS = ("busybox", "cpio", "depmod", "modprobe", "dpkg-deb", "apt-get", "mkfs.ext4", "setpriv")
_DISK_BYTES = 64 << 20
# The first process of the root: it may not end, so it runs the command and powers off.
_FIRST = """\
/bin/sh /run/guest/command >/run/guest/output 2>&1
echo $? >/run/guest/status
sync
echo o >/proc/sysrq-trigger
sleep 60
"""


@dataclass(frozen=True, slots=True)
class _Board:
    """What differs between the emulated machines: qemu's program and options, the console, words for the kernel."""

    program: str
    options: str
    console: str
    kernel: str = ""


_BOARDS = {
    # The kernel changes its own code when it finds the time stamp counter unstable, as it is under load. By emulation
    # another processor may run what is half changed ("Oops: int3").
    "amd64": _Board("qemu-system-x86_64", "-cpu max", "ttyS0", "tsc=reliable"),
    # By default each signed return would be computed by the processor's own cipher, which is slow by emulation.
    "arm64": _Board("qemu-system-aarch64", "-M virt,gic-version=3 -cpu max,pauth-impdef=on", "ttyAMA0"),
}
_HALF_CHANGED = "Oops: int3"


@dataclass(frozen=True, slots=True)
class GuestOutput:
    """What the command left: its exit status, what it printed, and the directory that was shared."""

    status: int
    text: str
    shared: Path


def missing(guest: Guest) -> str:
    """Why this host cannot run the guest; empty when it can."""
    tools = [tool for tool in (_BOARDS[guest.architecture].program, *_TOOLS) if shutil.which(tool) is None]
    if tools:
        return f"missing: {', '.join(tools)}; scripts/set-up.sh test installs them"
    if os.geteuid() != 0:
        return "needs root, to share the host's root with the guest"
    return guests.missing(guest)


def run_in_guest(guest: Guest, cache: Path, command: str, shared: Path, *, seconds: float) -> GuestOutput:
    """Boot, run a shell command as root, power off.

    Args:
        guest: What to boot.
        cache: Where its parts are kept; what is missing is fetched.
        command: Shell text; ``/run/guest`` is ``shared`` there, ``/dev/vda`` and ``/dev/vdb`` are empty disks.
        shared: Directory for the command's files; receives ``console``, ``output`` and ``status``.
        seconds: The whole run may take so long.

    Raises:
        GuestError: No end within ``seconds``, or no exit status: the console's last words.

    """
    kernel = guests.provide_kernel(guest, cache)
    root = Path("/")
    if guest.own_root:
        root = provide_root(guest.architecture, guest.machine, CHECKOUT, cache)
    (shared / "command").write_text(command + "\n", encoding="utf-8")
    (shared / "checkout").write_text(str(CHECKOUT), encoding="utf-8")
    (shared / "first").write_text(_FIRST, encoding="utf-8")
    initramfs = shared / "initramfs"
    _make_initramfs(kernel, root, shared / "initramfs.d", initramfs)
    machine = _machine(guest, kernel, root, initramfs, shared)
    words = _boot(machine, shared, seconds)
    if _HALF_CHANGED in _text(shared / "console") and not (shared / "output").exists():
        words = _boot(machine, shared, seconds)
    output = _text(shared / "output")
    status = _text(shared / "status").strip()
    if not status:
        raise GuestError(f"{words}\n--- console\n{_text(shared / 'console')[-4000:]}\n--- output\n{output[-4000:]}")
    return GuestOutput(int(status), output, shared)


# Gives what qemu said.
def _boot(machine: list[str], shared: Path, seconds: float) -> str:
    for disk in _disks(shared):
        with disk.open("wb") as file:
            file.truncate(_DISK_BYTES)
    try:
        return subprocess.run(machine, capture_output=True, text=True, check=False, timeout=seconds).stderr
    except subprocess.TimeoutExpired:
        return f"no end within {seconds:.0f} s"


def _disks(shared: Path) -> list[Path]:
    return [shared / "disk0", shared / "disk1"]


def _machine(guest: Guest, kernel: GuestKernel, root: Path, initramfs: Path, shared: Path) -> list[str]:
    board = _BOARDS[guest.architecture]
    words = f"console={board.console} quiet panic=-1 mitigations=off nokaslr {board.kernel}"
    # Should the tests be killed, the machine ends with them.
    machine = ["setpriv", "--pdeathsig", "KILL", board.program, *board.options.split()]
    machine += [
        "-accel",
        "tcg,thread=multi",
        "-smp",
        "2",
        "-m",
        "3072",
        "-no-reboot",
        "-nographic",
        "-nic",
        "none",
        "-monitor",
        "none",
    ]
    machine += ["-kernel", str(kernel.image), "-initrd", str(initramfs), "-append", words]
    machine += ["-serial", f"file:{shared / 'console'}"]
    for tag, path in (("host", root), ("kernel", kernel.root), ("checkout", CHECKOUT)):
        machine += [
            "-virtfs",
            f"local,path={path},mount_tag={tag},security_model=none,readonly=on,multidevs=remap",
        ]
    machine += ["-virtfs", f"local,path={shared},mount_tag=out,security_model=none"]
    for disk in _disks(shared):
        machine += ["-drive", f"file={disk},if=virtio,format=raw,cache=unsafe"]
    return machine


def _make_initramfs(kernel: GuestKernel, root: Path, directory: Path, archive: Path) -> None:
    modules = directory / "modules"
    for place in ("bin", "modules"):
        (directory / place).mkdir(parents=True)
    shutil.copy(root / "bin/busybox", directory / "bin/busybox")
    shutil.copy(_INIT, directory / "init")
    (directory / "init").chmod(0o755)
    order = []
    for module in _module_files(kernel):
        name = module.name.removesuffix(".xz")
        data = module.read_bytes()
        (modules / name).write_bytes(lzma.decompress(data) if module.suffix == ".xz" else data)
        order.append(name)
    (modules / "order").write_text("".join(f"{name}\n" for name in order), encoding="utf-8")
    names = "\n".join(str(path.relative_to(directory)) for path in sorted(directory.rglob("*")))
    with archive.open("wb") as output:
        subprocess.run(
            ["cpio", "-o", "-H", "newc", "--quiet"], cwd=directory, input=names.encode(), stdout=output, check=True
        )


# Each module after those that it depends on, each once; built-in ones give no file.
def _module_files(kernel: GuestKernel) -> list[Path]:
    files: dict[Path, None] = {}
    for module in _MODULES:
        listed = subprocess.run(
            ["modprobe", "-d", kernel.root, "-S", kernel.release, "--show-depends", module],
            capture_output=True,
            text=True,
            check=True,
        )
        lines = (line.split() for line in listed.stdout.splitlines())
        files |= {Path(words[1]): None for words in lines if words[0] == "insmod"}
    return list(files)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

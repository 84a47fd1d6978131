"""A virtual machine with another kernel on the host's own root: Debian's, by emulation.

The kernel's package is unpacked below the cache directory and never installed. The guest sees
the host's root read-only below an overlay in memory, so every program, library and header of
the host is there; what it is to run, and what it says, pass through a directory shared with it.
"""

from __future__ import annotations

import lzma
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_INIT = Path(__file__).with_name("init.sh")
_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_blk", "crc32c_generic", "ext4")
_TOOLS = ("qemu-system-x86_64", "busybox", "cpio", "depmod", "modprobe", "dpkg-deb", "apt-get", "mkfs.ext4")
_DISK_BYTES = 64 << 20
# The first process of the root: it may not end, so it runs the command and powers off.
_FIRST = """\
/bin/sh /run/guest/command >/run/guest/output 2>&1
echo $? >/run/guest/status
sync
echo o >/proc/sysrq-trigger
sleep 60
"""


class GuestError(Exception):
    """The guest did not start, or did not end by itself."""


@dataclass(frozen=True, slots=True)
class GuestKernel:
    """A kernel to boot: its release, its image and the root of its modules."""

    release: str
    image: Path
    root: Path


@dataclass(frozen=True, slots=True)
class GuestOutput:
    """What the command left: its exit status, what it printed, and the directory that was shared."""

    status: int
    text: str
    shared: Path


def missing() -> str:
    """Why this host cannot run a guest; empty when it can."""
    tools = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if tools:
        return f"missing: {', '.join(tools)}; scripts/set-up.sh test installs them"
    if os.uname().machine != "x86_64":
        return "the guest is an x86-64 machine, as its host must be: it runs the host's programs"
    if os.geteuid() != 0:
        return "needs root, to share the host's root with the guest"
    return "" if _releases() else "no Debian kernel headers below /usr/src to choose a kernel by"


def provide_kernel(cache: Path) -> GuestKernel:
    """The Debian kernel whose headers this host has, fetched and unpacked below ``cache`` once.

    Raises:
        GuestError: The package cannot be fetched.

    """
    release = _releases()[-1]
    root = cache / release
    kernel = GuestKernel(release, root / "boot" / f"vmlinuz-{release}", root)
    if (root / "complete").exists():
        return kernel
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    package = f"linux-image-{release}"
    done = subprocess.run(["apt-get", "download", package], cwd=root, capture_output=True, text=True, check=False)
    packages = list(root.glob("*.deb"))
    if done.returncode or not packages:
        raise GuestError(f"{package} cannot be fetched: {done.stderr.strip()}; try apt-get update")
    subprocess.run(["dpkg-deb", "-x", packages[0], root], check=True)
    packages[0].unlink()
    subprocess.run(["depmod", "-b", root, release], check=True)
    (root / "complete").touch()
    return kernel


def run_in_guest(kernel: GuestKernel, command: str, shared: Path, *, seconds: float) -> GuestOutput:
    """Boot, run a shell command as root, power off.

    Args:
        kernel: From `provide_kernel`.
        command: Shell text; ``/run/guest`` is ``shared`` there, ``/dev/vda`` and ``/dev/vdb`` are empty disks.
        shared: Directory for the command's files; receives ``console``, ``output`` and ``status``.
        seconds: The whole run may take so long.

    Raises:
        GuestError: No end within ``seconds``, or no exit status: the console's last words.

    """
    (shared / "command").write_text(command + "\n", encoding="utf-8")
    (shared / "checkout").write_text(str(Path(__file__).resolve().parents[2]), encoding="utf-8")
    (shared / "first").write_text(_FIRST, encoding="utf-8")
    initramfs = shared / "initramfs"
    _make_initramfs(kernel, shared / "initramfs.d", initramfs)
    disks = [shared / "disk0", shared / "disk1"]
    for disk in disks:
        with disk.open("wb") as file:
            file.truncate(_DISK_BYTES)
    try:
        done = subprocess.run(
            _machine(kernel, initramfs, disks, shared), capture_output=True, text=True, check=False, timeout=seconds
        )
        words = done.stderr
    except subprocess.TimeoutExpired:
        words = f"no end within {seconds:.0f} s"
    output = _text(shared / "output")
    status = _text(shared / "status").strip()
    if not status:
        raise GuestError(f"{words}\n--- console\n{_text(shared / 'console')[-4000:]}\n--- output\n{output[-4000:]}")
    return GuestOutput(int(status), output, shared)


def _releases() -> list[str]:
    found = [path for path in Path("/usr/src").glob("linux-headers-*-amd64") if (path / "Makefile").exists()]
    return sorted((path.name.removeprefix("linux-headers-") for path in found), key=_version)


def _version(release: str) -> list[int]:
    return [int(part) for part in release.replace("-", ".").split(".") if part.isdigit()]


def _machine(kernel: GuestKernel, initramfs: Path, disks: list[Path], shared: Path) -> list[str]:
    options = "security_model=none"
    arguments = (
        "-accel tcg,thread=multi -cpu max -smp 2 -m 3072 -no-reboot -nographic -nic none -monitor none "
        f"-kernel {shlex.quote(str(kernel.image))} -initrd {shlex.quote(str(initramfs))} "
        "-append 'console=ttyS0 quiet panic=-1 mitigations=off nokaslr' "
        f"-serial file:{shlex.quote(str(shared / 'console'))} "
        f"-virtfs local,path=/,mount_tag=host,{options},readonly=on,multidevs=remap "
        f"-virtfs local,path={shlex.quote(str(shared))},mount_tag=out,{options} "
        + " ".join(f"-drive file={shlex.quote(str(disk))},if=virtio,format=raw,cache=unsafe" for disk in disks)
    )
    return ["qemu-system-x86_64", *shlex.split(arguments)]


def _make_initramfs(kernel: GuestKernel, directory: Path, archive: Path) -> None:
    modules = directory / "modules"
    for place in ("bin", "modules"):
        (directory / place).mkdir(parents=True)
    busybox = shutil.which("busybox")
    shutil.copy(busybox or "", directory / "bin/busybox")
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

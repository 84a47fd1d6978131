"""What the kernel and the system packages of this host can do, for `datacrumbs_doctor`."""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.engine import compiler
from datacrumbs.errors import DatacrumbsError
from datacrumbs.kernel import header_files
from datacrumbs.kernel.tracefs import kprobes_available
from datacrumbs.provider import Check, CheckState
from datacrumbs.secure.file_systems import read_mounts

if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINES = ("x86_64", "aarch64")
_BTF = Path("/sys/kernel/btf/vmlinux")
_BTF_MAGIC = b"\x9f\xeb"  # 0xeB9F, in the byte order of the machine
_UTS_RELEASE = re.compile(r'^#define UTS_RELEASE "([^"]*)"', re.MULTILINE)
_KHEADERS = Path("/sys/kernel/kheaders.tar.xz")
_LOCKDOWN = Path("/sys/kernel/security/lockdown")
_MEMLOCK_NEEDED = 128 << 20  # the rings of the default system configuration, with room
_COMPILE_SECONDS = 300.0
_HEADERS_FIX = (
    "Debian: apt-get install linux-headers-$(uname -r), or linux-headers-amd64 and link "
    "/lib/modules/$(uname -r)/build to it; RHEL: dnf install kernel-devel-$(uname -r)"
)
_BCC_FIX = (
    "Debian: apt-get install python3-bpfcc; RHEL: dnf install python3-bcc; then make the virtual environment again "
    "with sudo make install, or as the README says"
)


def host_checks() -> Iterator[Check]:
    """All checks of this host, in the order in which tracing needs them."""
    yield _machine()
    yield _root()
    yield bcc_module()
    yield kernel_headers()
    yield _btf()
    yield _mount("tracefs", "/sys/kernel/tracing")
    yield _mount("bpf", "/sys/fs/bpf", name="bpffs")
    yield _lockdown()
    yield _memory_limit()
    yield from feature_checks()
    yield _kprobes()
    yield _patchelf()


def _machine() -> Check:
    machine = platform.machine()
    if machine in MACHINES:
        return Check("machine", CheckState.OK, f"{machine}, Linux {platform.release()}")
    return Check("machine", CheckState.MISSING, f"{machine} is not supported", f"use one of {', '.join(MACHINES)}")


def _root() -> Check:
    if os.geteuid() == 0:
        return Check("root", CheckState.OK, "running as root")
    detail = "not root: composing and reporting work, the daemon does not, and some checks were skipped"
    return Check("root", CheckState.WARNING, detail, "sudo datacrumbs_doctor")


def bcc_module() -> Check:
    try:
        compiler.load_bcc()
    except DatacrumbsError:
        return Check("bcc", CheckState.MISSING, *_why_no_bcc())
    import bcc

    return Check("bcc", CheckState.OK, f"bcc {getattr(bcc, '__version__', 'of unknown version')} from {bcc.__file__}")


def _why_no_bcc() -> tuple[str, str]:
    try:
        import bcc
    except ImportError as error:
        return f"not importable by {sys.executable}: {error}", _BCC_FIX
    return (
        f"{bcc.__file__} is a different project of the same name: it has no BPF",
        f"{sys.executable} -m pip uninstall bcc; {_BCC_FIX}",
    )


def kernel_headers() -> Check:
    name, release = "kernel headers", platform.release()
    build = header_files.MODULES / "build"
    if missing := header_files.missing_headers():
        state = "is a dangling link" if missing.is_symlink() else "is not there"
        if missing.is_dir():
            state = "holds none"
        fix = f"mkdir -p {build}; tar -C {build} -xf {_KHEADERS}" if _KHEADERS.exists() else _HEADERS_FIX
        return Check(name, CheckState.MISSING, f"missing: {missing} {state}", fix)
    found = _headers_release(build)
    if found == release:
        return Check(name, CheckState.OK, f"of the running kernel, {release}")
    detail = (
        f"of another version: {build} has {found or 'an unknown release'}, the running kernel is {release}; "
        "DataCrumbs' programs take kernel structures from BTF, so they work"
    )
    return Check(name, CheckState.WARNING, detail, f"install the headers of {release} if they exist")


# What `uname -r` says of a kernel that was built with them. Beside it, include/config/kernel.release has the upstream
# version alone where a distribution puts its own behind it only for the build (Debian up to Linux 6.1).
def _headers_release(build: Path) -> str:
    try:
        text = (build / "include/generated/utsrelease.h").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
    found = _UTS_RELEASE.search(text)
    return found[1] if found else ""


def _btf() -> Check:
    fix = "use a kernel with CONFIG_DEBUG_INFO_BTF=y"
    try:
        with _BTF.open("rb") as stream:
            magic = stream.read(len(_BTF_MAGIC))
    except OSError as error:
        return Check("kernel BTF", CheckState.MISSING, f"{_BTF} cannot be read: {error.strerror}", fix)
    if magic not in {_BTF_MAGIC, _BTF_MAGIC[::-1]}:
        return Check("kernel BTF", CheckState.MISSING, f"{_BTF} holds no type information", fix)
    return Check("kernel BTF", CheckState.OK, str(_BTF))


def _mount(kind: str, place: str, name: str = "") -> Check:
    name = name or kind
    found = [mount.point.decode(errors="replace") for mount in read_mounts() if mount.kind == kind.encode()]
    if found:
        return Check(name, CheckState.OK, f"mounted on {', '.join(dict.fromkeys(found))}")
    return Check(name, CheckState.WARNING, "not mounted", f"mount -t {kind} {kind} {place}")


def _lockdown() -> Check:
    try:
        text = _LOCKDOWN.read_text(encoding="ascii")
    except OSError:
        return Check("kernel lockdown", CheckState.OK, "not in this kernel")
    mode = text.partition("[")[2].partition("]")[0]
    if mode != "confidentiality":
        return Check("kernel lockdown", CheckState.OK, mode)
    detail = "confidentiality: BPF programs may not read the memory of programs"
    return Check("kernel lockdown", CheckState.MISSING, detail, "boot with lockdown=integrity or without it")


# Since Linux 5.11 BPF memory is charged to the cgroup; before, to this limit, which the daemon raises.
def _memory_limit() -> Check:
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    shown = "unlimited" if hard == resource.RLIM_INFINITY else f"{hard >> 10} KiB"
    if hard == resource.RLIM_INFINITY or hard >= _MEMLOCK_NEEDED or os.geteuid() == 0:
        return Check("locked memory", CheckState.OK, f"limit {shown}; root may raise it")
    detail = f"limit {shown}; kernels before 5.11 need {_MEMLOCK_NEEDED >> 20} MiB for the rings"
    return Check("locked memory", CheckState.WARNING, detail, "the daemon's unit sets LimitMEMLOCK=infinity")


def feature_checks() -> Iterator[Check]:
    if os.geteuid() != 0:
        yield Check("BPF programs", CheckState.WARNING, "not tried: only root may load one", "sudo datacrumbs_doctor")
        return
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-m", "datacrumbs.commands._feature_check"],
            capture_output=True,
            text=True,
            timeout=_COMPILE_SECONDS,
            check=False,
            cwd="/",  # this one's may be gone, which clang does not forgive
        )
        findings = json.loads(child.stdout)
    except subprocess.TimeoutExpired:
        yield Check(
            "BPF programs",
            CheckState.WARNING,
            f"unknown: the compiler did not finish in {_COMPILE_SECONDS:.0f} s; the host may be very busy",
            "run datacrumbs_doctor again when the host is less busy",
        )
        return
    except ValueError:
        yield Check(
            "BPF programs",
            CheckState.MISSING,
            "the compiler ended without an answer; see the checks of bcc and headers above",
            _HEADERS_FIX,
        )
        return
    yield from feature_findings(findings, child.stderr)


def feature_findings(findings: dict[str, str | None], words: str) -> Iterator[Check]:
    if findings.get("compile") is not None:
        lines = [line for line in words.splitlines() if "error" in line] or [str(findings["compile"])]
        yield Check("BPF programs", CheckState.MISSING, f"do not compile: {lines[0]}", _HEADERS_FIX)
        return
    yield Check("BPF programs", CheckState.OK, "compile")
    needed = {
        "ring_buffer": ("ring buffer", "use Linux 5.8 or later"),
        "uprobe": ("library functions (uprobe)", "use Linux 5.15 or later, with CONFIG_UPROBE_EVENTS=y"),
    }
    for key, (name, fix) in needed.items():
        reason = findings.get(key, "not tried")
        state = CheckState.OK if reason is None else CheckState.MISSING
        yield Check(name, state, "works" if reason is None else f"refused: {reason}", "" if reason is None else fix)
    reason = findings.get("uprobe_multi", "not tried")
    if reason is None:
        yield Check("many functions at once (uprobe_multi)", CheckState.OK, "works")
    else:
        detail = f"{reason}; functions are attached one by one, slowly from 1000 on"
        fix = "use Linux 6.6 or later; until then choose presets with few functions"
        yield Check("many functions at once (uprobe_multi)", CheckState.WARNING, detail, fix)


def _kprobes() -> Check:
    if kprobes_available():
        return Check("kernel functions", CheckState.OK, "kprobes are available")
    detail = "this kernel has no kprobes: only system calls and trace events can be traced"
    return Check("kernel functions", CheckState.WARNING, detail, "if you need them, use a kernel with CONFIG_KPROBES=y")


def _patchelf() -> Check:
    found = shutil.which("patchelf")
    if found:
        return Check("patchelf", CheckState.OK, found)
    fix = "apt-get install patchelf, or dnf install patchelf"
    return Check("patchelf", CheckState.WARNING, "missing: datacrumbs_track does not work without it", fix)

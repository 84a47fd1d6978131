"""What this host lacks for tracing below libc, and how to fix it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.kernel.btf import kernel_btf
from datacrumbs.kernel.header_files import header_directories
from datacrumbs.kernel.syscalls import system_calls
from datacrumbs.kernel.tracefs import kprobes_available
from datacrumbs.kernel.tracepoints import tracepoint_fields
from datacrumbs.provider import Check, CheckState

if TYPE_CHECKING:
    from datacrumbs.provider import Host

_MOUNTS = Path("/proc/self/mounts")


def host_checks(host: Host) -> tuple[Check, ...]:
    """All checks, in the order in which tracing needs them."""
    return (_tracefs(), _raw_tracepoints(), _system_calls(host), _btf(), _headers(host), _io_uring(), _kprobes())


def _tracefs() -> Check:
    mounted = [line.split()[1] for line in _MOUNTS.read_text(encoding="utf-8").splitlines() if " tracefs " in line]
    if mounted:
        return Check("tracefs", CheckState.OK, f"mounted on {mounted[0]}")
    return Check("tracefs", CheckState.MISSING, "not mounted", "mount -t tracefs tracefs /sys/kernel/tracing")


# The raw tracepoints sys_enter and sys_exit exist with CONFIG_HAVE_SYSCALL_TRACEPOINTS and
# CONFIG_TRACEPOINTS; CONFIG_FTRACE_SYSCALLS (an event per call) is not needed.
def _raw_tracepoints() -> Check:
    name = "system call tracepoints"
    if tracepoint_fields("raw_syscalls", "sys_enter") is not None:
        return Check(name, CheckState.OK, "raw_syscalls:sys_enter and sys_exit")
    if kernel_btf() is None and os.geteuid() != 0:
        return Check(name, CheckState.WARNING, "cannot be seen without root or kernel BTF", "run as root")
    return Check(name, CheckState.MISSING, "the kernel has none", "use a kernel with CONFIG_TRACEPOINTS")


def _system_calls(host: Host) -> Check:
    count = len(system_calls(host.machine))
    if count:
        return Check("system call numbers", CheckState.OK, f"{count} calls on {host.machine}")
    return Check(
        "system call numbers",
        CheckState.MISSING,
        f"{host.machine} is not known",
        "x86_64, aarch64 and riscv64 are; elsewhere do without the sys provider (--without sys)",
    )


def _btf() -> Check:
    if kernel_btf() is not None:
        return Check("kernel BTF", CheckState.OK, "/sys/kernel/btf/vmlinux")
    fix = "use a kernel with CONFIG_DEBUG_INFO_BTF; until then run the configurator as root"
    return Check("kernel BTF", CheckState.MISSING, "no readable /sys/kernel/btf/vmlinux", fix)


def _headers(host: Host) -> Check:
    name = "kernel headers"
    directories = header_directories()
    releases = [release for release in map(_header_release, directories) if release]
    if host.release in releases:
        return Check(name, CheckState.OK, f"of the running kernel {host.release}")
    if directories:
        other = releases[0] if releases else str(directories[0])
        detail = f"of another kernel: {other}, running {host.release}; programs that read no kernel structure work"
        return Check(name, CheckState.WARNING, detail, f"install the headers of {host.release} if they exist")
    fix = "apt-get install linux-headers-$(uname -r), or linux-headers-amd64; RHEL: dnf install kernel-devel"
    return Check(name, CheckState.MISSING, "no kernel headers", fix)


def _header_release(directory: Path) -> str:
    try:
        return (directory / "include/config/kernel.release").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _io_uring() -> Check:
    if tracepoint_fields("io_uring", "io_uring_complete") is not None:
        return Check("io_uring events", CheckState.OK, "submissions and completions are seen")
    detail = "this kernel has none: only io_uring_enter is seen, not what it carries"
    return Check("io_uring events", CheckState.WARNING, detail, "use a kernel with CONFIG_IO_URING and kernel BTF")


def _kprobes() -> Check:
    if kprobes_available():
        return Check("kernel functions", CheckState.OK, "kprobes are available")
    detail = "no kprobes: block and page-cache events are the view below system calls"
    return Check("kernel functions", CheckState.WARNING, detail, "use a kernel with CONFIG_KPROBES")

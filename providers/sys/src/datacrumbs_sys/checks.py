"""What this host lacks for tracing below libc, and how to fix it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from datacrumbs.kernel.btf import kernel_btf
from datacrumbs.kernel.syscalls import system_calls
from datacrumbs.kernel.tracepoints import tracepoint_fields
from datacrumbs.provider import Check, CheckState

if TYPE_CHECKING:
    from datacrumbs.provider import Host


def host_checks(host: Host) -> tuple[Check, ...]:
    """All checks, in the order in which tracing needs them, beside those of every host that the doctor makes itself."""
    return (_raw_tracepoints(), _system_calls(host), _io_uring())


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


def _io_uring() -> Check:
    if tracepoint_fields("io_uring", "io_uring_complete") is not None:
        return Check("io_uring events", CheckState.OK, "submissions and completions are seen")
    detail = "this kernel has none: only io_uring_enter is seen, not what it carries"
    return Check("io_uring events", CheckState.WARNING, detail, "use a kernel with CONFIG_IO_URING and kernel BTF")

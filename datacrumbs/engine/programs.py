"""Which of the C program's functions a plan needs in the kernel, and as what each is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.engine import descriptors, kernel
from datacrumbs.engine.objects import ProgramKind
from datacrumbs.probefile.plan import Attach

if TYPE_CHECKING:
    from datacrumbs.probefile.plan import Plan

PROBE = ProgramKind(2)
TRACEPOINT = ProgramKind(5)
RAW_TRACEPOINT = ProgramKind(17)
UPROBE_MULTI = ProgramKind(PROBE.kind, kernel.UPROBE_MULTI)

CLIENT_START = "dc_client_start"
RAW_TRACEPOINTS = {
    "dc_process_fork": "task_newtask",
    "dc_process_exec": "sched_process_exec",
    "dc_process_exit": "sched_process_exit",
    "dc_system_call_exit": "sys_exit",
    "dc_system_call_enter": "sys_enter",
}
"""Program -> its raw tracepoint, in the order of attaching: ends before beginnings."""

_OF_PLANS = {
    Attach.UPROBE: ("dc_library_enter", "dc_library_leave"),
    Attach.USDT: ("dc_usdt_enter", "dc_usdt_leave"),
    Attach.SYSCALL: ("dc_system_call_enter", "dc_system_call_exit"),
    Attach.TRACEPOINT: ("dc_kernel_point",),
    Attach.KPROBE: ("dc_kernel_enter", "dc_kernel_leave"),
}
_OF_EVERY_RUN = ("dc_process_fork", "dc_process_exec", "dc_process_exit", CLIENT_START, "dc_client_stop")
_BY_MULTI_LINK = frozenset((*_OF_PLANS[Attach.UPROBE], CLIENT_START, "dc_client_stop"))


def kinds(plan: Plan, *, multi: bool) -> dict[str, ProgramKind]:
    """The programs of a plan, and as what each is loaded; ``multi`` says whether uprobe multi links are used."""
    names = [*_OF_EVERY_RUN, *(name for group in plan.groups for name in _OF_PLANS[group.attach])]
    if descriptors.needs_errno(plan):
        names.append("dc_system_call_exit")
    return {name: _kind(name, multi=multi) for name in names}


def _kind(name: str, *, multi: bool) -> ProgramKind:
    if name in RAW_TRACEPOINTS:
        return RAW_TRACEPOINT
    if name == "dc_kernel_point":
        return TRACEPOINT
    return UPROBE_MULTI if multi and name in _BY_MULTI_LINK else PROBE

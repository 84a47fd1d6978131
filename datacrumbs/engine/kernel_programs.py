"""Which of the C program's functions a plan needs in the kernel, and as what each is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.engine import function_table, links
from datacrumbs.engine.bpf_objects import ProgramKind
from datacrumbs.engine.methods import AttachMethod
from datacrumbs.model.plan import Attach

if TYPE_CHECKING:
    from datacrumbs.model.plan import Group, Plan

PROBE = ProgramKind(2)
TRACEPOINT = ProgramKind(5)
RAW_TRACEPOINT = ProgramKind(17)
UPROBE_MULTI = ProgramKind(PROBE.kind, links.UPROBE_MULTI)
UPROBE_SESSION = ProgramKind(PROBE.kind, links.UPROBE_SESSION)

CLIENT_PROGRAMS = {
    "datacrumbs_stop": "dc_client_stop",
    "datacrumbs_ask": "dc_client_ask",
    "datacrumbs_mark": "dc_client_mark",
}
"""Function of the client library and the launcher -> its program, in the order of attaching."""
GROUP_ATTACH = "dc_group_attach"
GROUP_MADE = "dc_group_made"
SESSION = "dc_library_session"
_INTERRUPTS = ("irq_handler", "local_timer", "call_function", "call_function_single", "irq_work", "ipi")
RAW_TRACEPOINTS = {
    "dc_process_fork": ("task_newtask",),
    "dc_process_exec": ("sched_process_exec",),
    "dc_process_exit": ("sched_process_exit",),
    GROUP_ATTACH: ("cgroup_attach_task",),
    "dc_signal_deliver": ("signal_deliver",),
    "dc_system_call_exit": ("sys_exit",),
    "dc_system_call_enter": ("sys_enter",),
    "dc_interrupt_leave": tuple(f"{name}_exit" for name in _INTERRUPTS),
    "dc_interrupt_enter": tuple(f"{name}_entry" for name in _INTERRUPTS),
    "dc_soft_interrupt_leave": ("softirq_exit",),
    "dc_soft_interrupt_enter": ("softirq_entry",),
    GROUP_MADE: ("cgroup_mkdir",),  # when all that sees what a group holds is attached
}
"""Program -> its raw tracepoints, in the order of attaching: ends before beginnings. Each kernel has the first of them;
which others there are depends on the machine."""

_ENDS_OF_SYSTEM_CALLS = ("dc_system_call_exit", "dc_signal_deliver")
_OF_INTERRUPTS = ("dc_interrupt_leave", "dc_interrupt_enter", "dc_soft_interrupt_leave", "dc_soft_interrupt_enter")
_OF_PLANS = {
    Attach.UPROBE: ("dc_library_enter", "dc_library_leave"),
    Attach.USDT: ("dc_usdt_enter", "dc_usdt_leave"),
    Attach.SYSCALL: ("dc_system_call_enter", *_ENDS_OF_SYSTEM_CALLS),
    Attach.TRACEPOINT: ("dc_kernel_point", *_OF_INTERRUPTS),
    Attach.KPROBE: ("dc_kernel_enter", "dc_kernel_leave", *_OF_INTERRUPTS),
}
RUN_SNIPPETS = _OF_PLANS[Attach.UPROBE]
"""Programs in which providers' snippets run."""
_OF_EVERY_RUN = ("dc_process_fork", "dc_process_exec", "dc_process_exit", *CLIENT_PROGRAMS.values())
_BY_MULTI_LINK = frozenset((*_OF_PLANS[Attach.UPROBE], *CLIENT_PROGRAMS.values()))


def kinds(plan: Plan, method: AttachMethod, *, late: bool, members: bool, awaited: bool) -> dict[str, ProgramKind]:
    """The programs of a plan, and as what each is loaded.

    Args:
        plan: The plan.
        method: How library functions are attached.
        late: Whether files that traced processes map are reported.
        members: Whether the processes of a control group are traced.
        awaited: Whether that group is not there yet.
    """
    names = [*_OF_EVERY_RUN, *([GROUP_ATTACH] if members else []), *([GROUP_MADE] if awaited else [])]
    for group in plan.groups:
        names += [SESSION] if by_session(group, method) else _OF_PLANS[group.attach]
    if late or function_table.needs_errno(plan):
        names += _ENDS_OF_SYSTEM_CALLS
    return {name: _kind(name, method) for name in names}


def has_libraries(plan: Plan) -> bool:
    """Whether files are probed, or looked for."""
    return bool(plan.sought) or any(not group.target.is_kernel for group in plan.groups)


def by_session(group: Group, method: AttachMethod) -> bool:
    """Whether one program serves the entries and the returns of a group."""
    return group.attach is Attach.UPROBE and method is AttachMethod.SESSION


def _kind(name: str, method: AttachMethod) -> ProgramKind:
    if name in RAW_TRACEPOINTS:
        return RAW_TRACEPOINT
    if name == "dc_kernel_point":
        return TRACEPOINT
    if name == SESSION:
        return UPROBE_SESSION
    return UPROBE_MULTI if method is not AttachMethod.PERF and name in _BY_MULTI_LINK else PROBE

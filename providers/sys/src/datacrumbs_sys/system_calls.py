"""The system calls of this machine as functions to probe."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from datacrumbs.kernel.syscalls import system_calls
from datacrumbs.provider import Returns
from datacrumbs_sys.calls import Call, curated_calls, uncurated_call

if TYPE_CHECKING:
    from collections.abc import Collection

    from datacrumbs.kernel.syscalls import SystemCall
    from datacrumbs.provider import Function

# Calls that never come back to their caller; a return probe would wait for nothing.
_NO_RETURN = frozenset(("exit", "exit_group", "rt_sigreturn"))
# How the kernel's own probes enter it. Tracing them would trace the tracer.
_OF_PROBES = frozenset(("uprobe", "uretprobe"))


def system_call_functions(
    machine: str, classes: Collection[str] = (), names: Collection[str] = ()
) -> tuple[Function, ...]:
    """The system calls that are in one of the classes or have one of the names.

    Args:
        machine: Hardware name, as ``uname -m``.
        classes: Of `datacrumbs_sys.calls.CLASSES`.
        names: The kernel's names or libc's (``stat`` takes newfstatat and statx, too).

    Returns:
        All calls when neither classes nor names are given; in the order of their numbers.
    """
    everything = not classes and not names
    functions = []
    for system_call in system_calls(machine):
        if system_call.name in _OF_PROBES:
            continue
        call = _call(system_call)
        if (
            everything
            or "all" in classes
            or call.classes.intersection(classes)
            or {call.function.name, call.function.symbol} & set(names)
        ):
            returns = Returns.NEVER if system_call.name in _NO_RETURN else Returns.PROBED
            functions.append(replace(call.function, offset=system_call.number, returns=returns))
    return tuple(functions)


def calls_of_classes(machine: str, names: Collection[str]) -> frozenset[str]:
    """The kernel's names of this machine's calls in one of the classes."""
    return frozenset(function.symbol for function in system_call_functions(machine, names))


def _call(system_call: SystemCall) -> Call:
    return curated_calls().get(system_call.name) or uncurated_call(system_call.name, system_call.arguments)

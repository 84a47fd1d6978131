"""The provider ``sys``: system calls, kernel functions and trace events of the running kernel."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from datacrumbs.kernel import syscalls
from datacrumbs.kernel.tracefs import kprobes_available
from datacrumbs.provider import (
    Attach,
    Check,
    Cost,
    Function,
    Host,
    Layer,
    Option,
    Options,
    Preset,
    ProbeTarget,
    Provider,
    Target,
    hookimpl,
)
from datacrumbs_sys.calls import CLASSES, DEFAULT_CLASSES
from datacrumbs_sys.checks import host_checks
from datacrumbs_sys.kernel_functions import GROUPS, kernel_layer_functions, kernel_layer_names
from datacrumbs_sys.system_calls import calls_of_classes, system_call_functions
from datacrumbs_sys.trace_events import BLOCK, EVENTS, IO_URING, PAGE_CACHE, trace_event_functions

if TYPE_CHECKING:
    from collections.abc import Collection

__version__ = "0.1.0"
_GROUPS = tuple(GROUPS)
_OPTIONS = (
    Option("classes", "list", (), "system calls of these classes only; empty for all", CLASSES),
    Option("calls", "list", (), "and system calls of these names, the kernel's or libc's"),
    Option("events", "list", EVENTS, "trace events, as category:event"),
    Option("groups", "list", _GROUPS, "layers of kernel functions, where the kernel has kprobes", _GROUPS),
    Option("kernel_functions", "string", "", "a regular expression of further kernel functions"),
)


@hookimpl
def datacrumbs_provider() -> Provider:
    """Say who the provider is."""
    title = "System calls, io_uring, block and page-cache events, kernel functions"
    return Provider(title=title, layer=Layer.SYSTEM_CALLS, options=_OPTIONS)


@hookimpl
def datacrumbs_targets(host: Host, options: Options) -> list[ProbeTarget]:
    """List the ways in which the running kernel can be probed."""
    del options  # they select functions, not targets
    kernel = Target("", host.release)
    targets = []
    if syscalls.system_calls(host.machine):
        targets.append(ProbeTarget(kernel, Attach.SYSCALL, "system calls"))
    if trace_event_functions(EVENTS):
        targets.append(ProbeTarget(kernel, Attach.TRACEPOINT, "kernel trace events"))
    if kprobes_available():
        targets.append(ProbeTarget(kernel, Attach.KPROBE, "kernel functions"))
    return targets


@hookimpl
def datacrumbs_functions(target: ProbeTarget, options: Options) -> tuple[Function, ...]:
    """List system calls, events or kernel functions, as the target asks."""
    if target.attach is Attach.SYSCALL:
        return system_call_functions(os.uname().machine, _names(options, "classes"), _names(options, "calls"))
    if target.attach is Attach.TRACEPOINT:
        return trace_event_functions(_names(options, "events"))
    return kernel_layer_functions(_names(options, "groups"), str(options.get("kernel_functions", "")))


@hookimpl
def datacrumbs_presets() -> list[Preset]:
    """Name the selections that sites ask for."""
    titles = {
        "file": "calls that take a path",
        "descriptor": "calls that take or make a descriptor",
        "network": "sockets",
        "memory": "mappings and memory policy",
        "process": "processes, threads, scheduling",
        "signal": "signals",
        "ipc": "futexes, System V and POSIX queues, shared memory",
        "time": "clocks and timers",
    }
    default = "what programs do to files: data and metadata calls, io_uring"
    return [
        Preset("default", default, Cost.LOW, partial(_calls, *DEFAULT_CLASSES, events=IO_URING)),
        Preset("data", "calls that move data of files, io_uring", Cost.LOW, partial(_calls, "data", events=IO_URING)),
        Preset("metadata", "calls on names, descriptors and attributes", Cost.LOW, partial(_calls, "metadata")),
        *(Preset(name, title, Cost.MEDIUM, partial(_calls, name)) for name, title in titles.items()),
        Preset("block", "requests of the block layer", Cost.LOW, frozenset(BLOCK)),
        Preset("pagecache", "pages that enter and leave the page cache", Cost.MEDIUM, frozenset(PAGE_CACHE)),
        Preset("kernel", "kernel functions from the VFS to the block layer", Cost.HIGH, _kernel_names),
        Preset("all", "every system call, event and kernel function", Cost.HIGH),
    ]


@hookimpl
def datacrumbs_checks(host: Host) -> tuple[Check, ...]:
    """Say what this host lacks."""
    return host_checks(host)


def _kernel_names() -> frozenset[str]:
    return kernel_layer_names(_GROUPS)


def _calls(*classes: str, events: Collection[str] = ()) -> frozenset[str]:
    return calls_of_classes(os.uname().machine, classes) | frozenset(events)


def _names(options: Options, key: str) -> Collection[str]:
    value = options.get(key, ())
    return value if isinstance(value, tuple) else (str(value),)

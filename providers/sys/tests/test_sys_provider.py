from __future__ import annotations

import os
import re
from dataclasses import replace
from fnmatch import fnmatchcase

import datacrumbs_sys
import pytest
from datacrumbs_sys.calls import CLASSES, curated_calls, uncurated_call
from datacrumbs_sys.kernel_functions import GROUPS, kernel_layer_functions
from datacrumbs_sys.system_calls import system_call_functions
from datacrumbs_sys.trace_events import EVENTS, IO_URING, trace_event_functions

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.kernel.declared import check_declared
from datacrumbs.kernel.syscalls import system_calls
from datacrumbs.model.plan import Group, Plan
from datacrumbs.provider import ARGUMENT_LIMIT, Attach, Host, ProbeTarget, Result, Role, Target
from datacrumbs.signer.policy import EVENTS as RULE_EVENTS
from datacrumbs.signer.policy import KERNEL_FUNCTIONS

HOST = Host(os.uname().release, os.uname().machine)
OPTIONS = {option.name: option.default for option in datacrumbs_sys.datacrumbs_provider().options}
LABEL = re.compile(r"[a-z][a-z0-9_]*")


@pytest.fixture(scope="module")
def targets():
    return {target.attach: target for target in datacrumbs_sys.datacrumbs_targets(HOST, OPTIONS)}


@pytest.fixture(scope="module")
def calls(targets):
    functions = datacrumbs_sys.datacrumbs_functions(targets[Attach.SYSCALL], OPTIONS)
    return {function.symbol: function for function in functions}


def functions_of(targets, attach, **options):
    return datacrumbs_sys.datacrumbs_functions(targets[attach], OPTIONS | options)


def test_all_system_calls_are_there(calls):
    assert len(calls) > 300
    assert len({function.offset for function in calls.values()}) == len(calls)
    assert not {"uprobe", "uretprobe"} & set(calls)


def test_every_function_fits_the_contract(targets):
    everything = [function for target in targets.values() for function in functions_of(targets, target.attach)]
    everything += kernel_layer_functions(tuple(GROUPS))
    for function in everything:
        labels = [argument.label for argument in function.arguments]
        assert len(labels) <= ARGUMENT_LIMIT, function.symbol
        assert len(set(labels)) == len(labels), function.symbol
        assert all(LABEL.fullmatch(label) for label in labels), function.symbol
        assert all(argument.size in {1, 2, 4, 8} for argument in function.arguments), function.symbol
        assert LABEL.fullmatch(function.name.lower().lstrip("_")), function.symbol


def test_system_calls_have_one_file(calls):
    """At most one descriptor is the call's file, and a directory comes before its path."""
    for function in calls.values():
        roles = [argument.role for argument in function.arguments]
        assert roles.count(Role.FD) <= 1, function.symbol
        if Role.DIRFD in roles and function.symbol in curated_calls():
            assert Role.PATH in roles[roles.index(Role.DIRFD) :], function.symbol


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("openat", "open"),
        ("openat2", "open"),
        ("newfstatat", "stat"),
        ("statx", "stat"),
        ("unlinkat", "unlink"),
        ("mkdirat", "mkdir"),
        ("getdents64", "readdir"),
        ("pread64", "pread"),
        ("preadv2", "preadv"),
        ("renameat2", "rename"),
        ("faccessat2", "access"),
        ("dup3", "dup2"),
    ],
)
def test_kernel_names_become_libcs(calls, symbol, name):
    assert (calls[symbol].name, calls[symbol].category) == (name, "POSIX")


def test_roles_and_results(calls):
    assert [(argument.label, argument.index, argument.role) for argument in calls["openat"].arguments] == [
        ("dirfd", 0, Role.DIRFD),
        ("path", 1, Role.PATH),
        ("flags", 2, Role.FLAGS),
        ("mode", 3, Role.VALUE),
    ]
    assert [(argument.label, argument.index) for argument in calls["pwrite64"].arguments] == [
        ("fd", 0),
        ("count", 2),
        ("offset", 3),
    ]
    assert next(argument.index for argument in calls["mmap"].arguments if argument.role is Role.FD) == 4
    assert calls["mmap"].result is Result.MAPPING
    copying = {argument.label: argument.role for argument in calls["copy_file_range"].arguments}
    assert (copying["fd_in"], copying["to"]) == (Role.FD, Role.TARGET_FD)
    assert calls["read"].result is Result.BYTES
    assert calls["getpid"].result is Result.VALUE
    assert [symbol for symbol, call in calls.items() if not call.return_probe] == ["rt_sigreturn", "exit", "exit_group"]


def test_no_buffer_of_the_user_is_captured(calls):
    assert not [function for function in calls.values() if Role.OUT in {a.role for a in function.arguments}]
    assert "buf" not in {argument.label for argument in calls["write"].arguments}


def test_curated_arguments_agree_with_the_kernels():
    """Where the machine tells an argument's size, the table says the same about what it names."""
    told = {call.name: {argument.index: argument for argument in call.arguments} for call in system_calls(HOST.machine)}
    for call in curated_calls().values():
        for argument in call.function.arguments:
            own = told.get(call.function.symbol, {}).get(argument.index)
            if own is None:
                assert not told.get(call.function.symbol), (call.function.symbol, argument.label)
            elif argument.role in {Role.PATH, Role.STRING}:
                assert own.ctype.endswith("*"), (call.function.symbol, argument.label)
            else:
                assert not own.ctype.endswith("*") or argument.label == "addr", (call.function.symbol, argument.label)


def test_selection_by_class_and_by_name(targets):
    network = functions_of(targets, Attach.SYSCALL, classes=("network",))
    assert {"socket", "sendto", "accept4"} <= {function.symbol for function in network}
    assert not {"read", "openat"} & {function.symbol for function in network}
    both = functions_of(targets, Attach.SYSCALL, classes=("time",), calls=("stat", "futex"))
    assert {"newfstatat", "statx", "futex", "nanosleep"} <= {function.symbol for function in both}
    assert functions_of(targets, Attach.SYSCALL, classes=("all",)) == functions_of(targets, Attach.SYSCALL)


def test_every_class_has_calls():
    for name in CLASSES:
        assert system_call_functions(HOST.machine, (name,)), name


def test_calls_that_are_not_curated_keep_what_the_machine_tells(calls):
    keyctl = calls["keyctl"]
    assert (keyctl.category, keyctl.result) == ("SYS", Result.STATUS)
    assert uncurated_call("x", (replace(calls["read"].arguments[0], role=Role.OUT),)).function.arguments == ()


def test_presets_name_what_exists(calls):
    presets = {preset.name: preset for preset in datacrumbs_sys.datacrumbs_presets()}
    assert {"default", "data", "metadata", "network", "memory", "process", "all"} <= set(presets)
    assert presets["all"].functions == frozenset()
    names = {name: each.functions() if callable(each.functions) else each.functions for name, each in presets.items()}
    assert names["default"] == names["data"] | names["metadata"]
    known = set(calls) | set(EVENTS) | names["kernel"]
    for name, selected in names.items():
        assert selected <= known, name
    for name in ("file", "descriptor", "network", "time"):
        chosen = {call.symbol for call in calls.values() if {call.name, call.symbol} & names[name]}
        assert chosen == names[name], name  # a libc name must not pull in a call of another class


def test_naming_the_presets_asks_the_kernel_nothing(monkeypatch):
    for name in ("system_call_functions", "calls_of_classes", "kernel_layer_names", "trace_event_functions"):
        monkeypatch.setattr(datacrumbs_sys, name, None)  # calling it would fail
    assert len(datacrumbs_sys.datacrumbs_presets()) == 15


def test_trace_events_have_aligned_fields(targets):
    events = {function.name: function for function in functions_of(targets, Attach.TRACEPOINT)}
    assert {"io_uring_submit", "io_uring_complete", "block_rq_issue", "mm_filemap_add_to_page_cache"} <= set(events)
    for function in events.values():
        assert function.result is Result.VOID
        for argument in function.arguments:
            assert argument.index >= 8, function.name
            assert argument.index % argument.size == 0, (function.name, argument.label)
    labels = {name: [argument.label for argument in function.arguments] for name, function in events.items()}
    assert labels["io_uring_complete"][:2] == ["user_data", "res"]
    assert labels["block_rq_issue"] == ["dev", "sector", "nr_sector", "bytes", "rwbs"]
    assert labels["mm_filemap_add_to_page_cache"] == ["dev", "ino", "index", "order"]
    assert len(trace_event_functions(IO_URING)) == 2


def test_the_default_policy_allows_what_the_provider_has_and_no_more():
    assert EVENTS == RULE_EVENTS
    names = [function.symbol for function in kernel_layer_functions(tuple(GROUPS))]
    assert [name for name in names if not any(fnmatchcase(name, pattern) for pattern in KERNEL_FUNCTIONS)] == []


def test_what_is_captured_of_the_kernel_is_what_it_declares(targets):
    events = functions_of(targets, Attach.TRACEPOINT)
    layers = kernel_layer_functions(tuple(GROUPS))
    kernel = Target("", HOST.release)
    groups = (
        Group("sys", "kernel", Attach.TRACEPOINT, kernel, events),
        Group("sys", "kernel", Attach.KPROBE, kernel, layers),
    )
    check_declared(Plan((), groups))


def test_other_events_can_be_asked_for(targets):
    (function,) = functions_of(targets, Attach.TRACEPOINT, events=("sched:sched_process_exec",))
    assert function.category == "KERNEL"
    assert functions_of(targets, Attach.TRACEPOINT, events=("no:such_event",)) == ()


def test_kernel_functions_by_layer():
    functions = {function.name: function for function in kernel_layer_functions(("vfs", "block"))}
    assert {function.category for function in functions.values()} == {"VFS", "BLOCK"}
    assert [argument.label for argument in functions["vfs_read"].arguments] == ["count"]
    assert functions["vfs_read"].result is Result.BYTES
    extra = kernel_layer_functions((), "vfs_(read|write)")
    assert [(function.name, function.category) for function in extra] == [
        ("vfs_read", "KERNEL"),
        ("vfs_write", "KERNEL"),
    ]


def test_a_kernel_function_pattern_that_does_not_compile():
    with pytest.raises(DatacrumbsError, match="kernel_functions: not a valid regular expression") as caught:
        kernel_layer_functions((), "vfs_(")
    assert caught.value.exit_code is ExitCode.USAGE


def test_kernel_functions_are_a_target_only_with_kprobes(monkeypatch):
    for available in (True, False):
        monkeypatch.setattr(datacrumbs_sys, "kprobes_available", lambda available=available: available)
        attaches = [target.attach for target in datacrumbs_sys.datacrumbs_targets(HOST, OPTIONS)]
        assert (Attach.KPROBE in attaches) == available
    functions = datacrumbs_sys.datacrumbs_functions(
        ProbeTarget(Target("", HOST.release), Attach.KPROBE, "kernel functions"), OPTIONS
    )
    assert len({function.symbol for function in functions}) == len(functions) > 50


def test_checks_say_what_and_how():
    checks = datacrumbs_sys.datacrumbs_checks(HOST)
    assert len({check.name for check in checks}) == len(checks) == 3
    for check in checks:
        assert check.detail
        assert bool(check.fix) == (check.state.value != "ok")

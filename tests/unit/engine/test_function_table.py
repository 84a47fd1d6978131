"""What the kernel side is told to do with each argument."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from datacrumbs.engine.function_table import NONE, describe, operand_rows
from datacrumbs.model.plan import (
    Argument,
    Attach,
    Function,
    Group,
    Plan,
    Result,
    Returns,
    Role,
    Snippet,
    Target,
    UsdtPlace,
)

if TYPE_CHECKING:
    import numpy as np

_KERNEL = Target("", "6.1")


def _row(function: Function, attach: Attach = Attach.SYSCALL, snippets: tuple[Snippet, ...] = ()) -> np.void:
    return describe(Plan((), (Group("p", "layer", attach, _KERNEL, (function,)),), snippets))[0]


def test_path_after_its_directory() -> None:
    arguments = (Argument(0, "dirfd", role=Role.DIRFD), Argument(1, "path", role=Role.PATH))
    row = _row(Function("open", "openat", "POSIX", arguments=arguments))
    assert (row["request"][0], row["subject"][0], row["base"][0], row["slot"][0]) == (2, 1, 0, NONE)
    assert row["source"].tolist() == [0, 1, NONE, NONE, NONE, NONE]


def test_second_path_gets_its_slot() -> None:
    paths = tuple(
        Argument(index, label, role=role)
        for index, label, role in [(0, "a", Role.DIRFD), (1, "b", Role.PATH), (2, "c", Role.DIRFD), (3, "d", Role.PATH)]
    )
    row = _row(Function("rename", "renameat2", "POSIX", arguments=paths))
    assert row["request"].tolist() == [2, 2, 0]
    assert row["subject"][:2].tolist() == [1, 3]
    assert row["base"][:2].tolist() == [0, 2]
    assert row["slot"][:2].tolist() == [NONE, 3]


def test_first_descriptor_is_the_file() -> None:
    arguments = (Argument(1, "out", role=Role.FD), Argument(0, "in", role=Role.FD))
    row = _row(Function("sendfile", "sendfile", "POSIX", arguments=arguments))
    assert row["request"].tolist() == [1, 0, 0]
    assert row["subject"][0] == 1


def test_usdt_operands() -> None:
    text = "-4@%eax 8@-24(%rbp,%rdx,8) -8@$-5 8@$18446744073709551615 1@%ah"
    arguments = tuple(Argument(index, f"a{index}") for index in range(5))
    row = _row(Function("f", "p:f", "USDT", arguments=arguments, usdt_arguments=text), Attach.USDT)
    assert row["source"].tolist() == [0, 1, 2, 3, 4, NONE]
    assert row["field_size"].tolist() == [1, 2, 3, 3, 1, 0]
    assert row["width"].tolist() == [0x84, 8, 0x88, 8, 1, 0]
    assert row["field_offset"].tolist() == [80, 32, 0xFFFF, 0xFFFF, 81, 0]
    assert row["index_offset"].tolist() == [0, 96, 0xFFFF, 0xFFFF, 0, 0]
    assert row["displacement"].tolist() == [0, -24, -5, -1, 0, 0]
    assert row["scale"].tolist() == [0, 8, 0, 0, 0, 0]


def test_usdt_operand_of_an_unknown_kind_is_left_out() -> None:
    row = _row(
        Function("f", "p:f", "USDT", arguments=(Argument(0, "a"),), usdt_arguments="8@symbol+4(%rip)"), Attach.USDT
    )
    assert row["source"][0] == NONE


def test_text_of_a_usdt_probe_is_asked_for_by_its_slot() -> None:
    arguments = (Argument(3, "path", role=Role.PATH), Argument(1, "what", role=Role.STRING))
    operands = "8@%rdi 8@%rsi 8@%rdx 8@%rcx"
    row = _row(Function("f", "p:f", "USDT", arguments=arguments, usdt_arguments=operands), Attach.USDT)
    assert row["field_offset"][:2].tolist() == [88, 104]
    assert row["request"].tolist() == [2, 3, 0]
    assert row["subject"][:2].tolist() == [0, 1]
    assert row["slot"][:2].tolist() == [NONE, 1]


def test_places_whose_arguments_are_elsewhere_have_rows_behind_those_of_all_functions() -> None:
    places = (
        UsdtPlace(20, 0, "8@%rsi"),
        UsdtPlace(30, 0, "8@%rdi"),
        UsdtPlace(40, 0, "8@%rdx"),
        UsdtPlace(50, 0, "8@%rsi"),
    )
    arguments = (Argument(0, "a"),)
    function = Function(
        "f", "p:f", "USDT", 10, more_places=places, arguments=arguments, usdt_arguments="8@%rdi", result=Result.VOID
    )
    groups = (
        Group("p", "layer", Attach.KPROBE, _KERNEL, (Function("k", "k", "X"),)),
        Group(
            "p", "layer", Attach.USDT, Target("/lib", "aa"), (function, replace(function, offset=60, more_places=()))
        ),
    )
    plan = Plan((), groups)
    assert operand_rows(plan) == {(1, "8@%rsi"): 3, (1, "8@%rdx"): 4}
    assert describe(plan)["field_offset"][1:, 0].tolist() == [112, 112, 104, 96]


def test_of_a_kernel_function_only_declared_registers_are_read_and_no_address_is_recorded() -> None:
    path = Argument(0, "path", "const char *", Role.PATH, 8)
    descriptor = Argument(2, "fd", "int", Role.FD, 4)
    mode = Argument(3, "mode", "umode_t", Role.VALUE, 2)
    row = _row(Function("k", "k", "VFS", arguments=(path, descriptor, mode)), Attach.KPROBE)
    assert row["width"].tolist() == [8, 0, 4, 2, 0, 0]
    assert row["source"].tolist() == [0xFF, 2, 3, 0xFF, 0xFF, 0xFF]


def test_an_event_is_read_up_to_the_end_of_its_last_field() -> None:
    fields = (Argument(34, "rwbs", "char[2]", Role.VALUE, 2), Argument(16, "sector", "sector_t", Role.VALUE, 8))
    row = _row(Function("e", "block:e", "BLOCK", arguments=fields), Attach.TRACEPOINT)
    assert row["record_bytes"] == 36
    assert row["field_size"].tolist()[:2] == [2 | 0x40, 8]
    assert _row(Function("e", "block:e", "BLOCK"), Attach.TRACEPOINT)["record_bytes"] == 0


def test_only_calls_that_teach_nothing_may_be_skipped() -> None:
    handle = Argument(0, "stream", role=Role.HANDLE)
    made = Argument(0, "file", role=Role.OUT_HANDLE)
    functions = (
        Function("read", "read", "POSIX", 0, arguments=(Argument(0, "fd", role=Role.FD),), result=Result.BYTES),
        Function("fgetc", "fgetc", "STDIO", 1, arguments=(handle,)),
        Function("fopen", "fopen", "STDIO", 2, result=Result.HANDLE),
        Function("open", "open", "POSIX", 3, result=Result.FD),
        Function("MPI_File_open", "MPI_File_open", "MPIIO", 4, arguments=(made,), result=Result.CODE),
    )
    group = Group("p", "layer", Attach.UPROBE, Target("/lib", "aa"), functions, sample=10)
    rows = describe(Plan((), (group,)))
    assert [bool(row["flags"] & 8) for row in rows] == [True] * 5
    assert [bool(row["flags"] & 32) for row in rows] == [True, True, False, False, False]
    assert rows["sample"].tolist() == [(1 << 32) // 10] * 5


def test_the_short_way_is_for_calls_that_need_at_most_the_file_of_a_descriptor() -> None:
    descriptor, path, handle = (Argument(0, "a", role=role) for role in (Role.FD, Role.PATH, Role.HANDLE))
    short = [
        Function("f", "f", "X"),
        Function("read", "read", "POSIX", arguments=(descriptor,), result=Result.BYTES),
    ]
    long = [
        Function("stat", "stat", "POSIX", arguments=(path,)),
        Function("fgetc", "fgetc", "STDIO", arguments=(handle,)),
        Function("dup", "dup", "POSIX", arguments=(descriptor,), result=Result.FD),
        Function("f", "f", "X", returns=Returns.CALLS_BACK),
    ]
    for attach in (Attach.SYSCALL, Attach.UPROBE):
        assert [bool(_row(function, attach)["flags"] & 16) for function in (*short, *long)] == [True] * 2 + [False] * 4


def test_void_functions_have_a_return() -> None:
    assert _row(Function("f", "f", "X", result=Result.VOID))["flags"] & 1
    assert not _row(Function("f", "f", "X", returns=Returns.CALLS_BACK))["flags"]

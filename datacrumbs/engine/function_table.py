"""Functions of a plan to the table from which the kernel side knows what to do with each (`contract.FUNCTION`)."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.elf.operands import Operand, parse_operands
from datacrumbs.kernel.compat_calls import compat_numbers
from datacrumbs.kernel.tracepoints import TEXT
from datacrumbs.model.contract import (
    COMPAT_CALLS,
    LAYERS,
    NONE,
    REGISTERS,
    SIGNED_VALUE,
    TEXT_VALUE,
    Closes,
    FunctionFlag,
    Moved,
    OperandKind,
    RequestKind,
    ResultKind,
)
from datacrumbs.model.layouts import FUNCTION
from datacrumbs.model.parameters import snippet_uses
from datacrumbs.model.plan import (
    FOLLOWED_ROLES,
    Argument,
    Attach,
    Function,
    Group,
    Mode,
    Plan,
    Result,
    Role,
    Snippet,
)
from datacrumbs.model.problems import named_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_RESULTS = {result: ResultKind[result.name] for result in Result}
_REQUESTED = {
    Role.FD: RequestKind.DESCRIPTOR,
    Role.TARGET_FD: RequestKind.DESCRIPTOR,
    Role.PATH: RequestKind.PATH,
    Role.STRING: RequestKind.STRING,
}
_CLOSES = {Role.HANDLE: Closes.NOTHING, Role.CLOSED: Closes.AT_ENTRY, Role.RELEASED: Closes.AT_RETURN}
_ERRNO_RESULTS = frozenset(Result) - {Result.CODE, Result.NEGATIVE, Result.VALUE, Result.VOID}
_ROOTED = "openat2"  # its third argument can say that its directory is the root of its path
_MAKING_RESULTS = (ResultKind.FD, ResultKind.HANDLE)
_ERRNO_CATEGORIES = {"POSIX", "STDIO", "SYS"}


def describe(plan: Plan) -> NDArray[np.void]:
    """One FUNCTION per function of the plan, in the order of their identities; then the `operand_rows`."""
    numbers = snippet_uses(plan)
    snippets = {(snippet.provider, snippet.name): snippet for snippet in plan.snippets}
    rows = [np.zeros(0, FUNCTION)]
    places: list[int] = []
    further = operand_rows(plan)
    layers = _layers(plan)
    functions = plan.functions if further else ()
    for group in plan.groups:
        known: dict[tuple[object, ...], int] = {}
        for function in group.functions:
            alike = _alike(function)
            if alike not in known:
                key = (group.provider, function.snippet)
                number = numbers[*key, function.snippet_arguments] if function.snippet else 0
                known[alike] = len(rows) - 1
                row = _row(group, function, number, snippets.get(key))
                if row["counts"]:
                    row["layer"] = layers.get(function.category, 0)
                rows.append(row)
            places.append(known[alike])
    table = np.concatenate(rows)[places]
    return np.concatenate([table, *(_operand_row(functions[at], arguments) for at, arguments in further)])


# Numbers of the categories, from 1 on; those beyond what a bit mask holds have none.
def _layers(plan: Plan) -> dict[str, int]:
    categories = dict.fromkeys(function.category for group in plan.groups for function in group.functions)
    return {category: number for number, category in enumerate(categories, 1) if number <= LAYERS}


def operand_rows(plan: Plan) -> dict[tuple[int, str], int]:
    """(identity, argument format) -> the row with the operands of those places of a USDT probe.

    It is for places whose arguments are not where those of the function's first place are.
    """
    rows: dict[tuple[int, str], int] = {}
    first, number = 0, sum(len(group.functions) for group in plan.groups)
    for group in plan.groups:
        if group.attach is Attach.USDT:
            for identity, function in enumerate(group.functions, first):
                formats = {place.arguments: None for place in function.more_places}
                for arguments in formats:
                    if arguments != function.usdt_arguments:
                        rows[identity, arguments] = number + len(rows)
        first += len(group.functions)
    return rows


def _operand_row(function: Function, arguments: str) -> NDArray[np.void]:
    table = np.zeros(1, FUNCTION)
    table["source"] = NONE
    _describe_usdt(table[0], function, arguments)
    return table


# Functions of a group with equal keys have equal rows; most of a plan's thousands share a few.
def _alike(function: Function) -> tuple[object, ...]:
    arguments = id(function.arguments)  # shared, where a plan was read from its bytes
    ends = (function.result, function.return_probe, bool(function.return_places))
    snippet = (function.snippet, function.snippet_arguments)
    return (arguments, *ends, function.symbol == _ROOTED, function.category, snippet, function.usdt_arguments)


def _row(group: Group, function: Function, number: int, snippet: Snippet | None) -> NDArray[np.void]:
    table = np.zeros(1, FUNCTION)
    for name in ("source", "base", "slot", "handle", "out_handle"):
        table[name] = NONE
    row = table[0]
    _describe_result(row, function, group.attach)
    if group.attach is Attach.TRACEPOINT:
        _describe_fields(row, function)
    elif group.attach is Attach.USDT:
        _describe_usdt(row, function, function.usdt_arguments)
        _describe_requests(row, function, range(len(function.arguments)))
    else:
        _describe_arguments(row, function)
    if group.attach is Attach.KPROBE:
        _describe_registers(row, function)
    if snippet is not None:
        row["snippet"] = number
        row["fields"] = len(snippet.fields)
    _describe_bytes(row, function, snippet.fields if snippet is not None else (), group.attach)
    if group.attach in {Attach.SYSCALL, Attach.UPROBE, Attach.KPROBE} and _is_plain(row):
        row["flags"] |= FunctionFlag.PLAIN
    row["counts"] = not group.helper and group.mode is not Mode.PROFILE
    if group.helper:
        row["flags"] |= FunctionFlag.HELPER
    elif group.mode is Mode.PROFILE:
        row["flags"] |= FunctionFlag.PROFILED
    elif group.sample > 1:
        row["flags"] |= FunctionFlag.SAMPLED | (FunctionFlag.SKIPPABLE if _is_skippable(row) else 0)
        row["sample"] = (1 << 32) // group.sample
    return table


def system_call_table(plan: Plan, machine: str) -> NDArray[np.uint32]:
    """Number of a system call -> identity of its function + 1, or 0; those of 32-bit programs in the second half.

    Args:
        plan: Whose calls.
        machine: Hardware name, as ``uname -m``.

    """
    table = np.zeros(2 * COMPAT_CALLS, np.uint32)
    compat = compat_numbers(machine)
    identity = 0
    for group in plan.groups:
        for function in group.functions:
            identity += 1
            if group.attach is not Attach.SYSCALL:
                continue
            table[function.offset] = identity
            # A snippet reads structures, whose layout differs there.
            if function.symbol in compat and not function.snippet:
                table[COMPAT_CALLS + compat[function.symbol]] = identity
    return table


def needs_errno(plan: Plan) -> bool:
    """Whether failures of library functions are to be explained by the system call behind them."""
    return any(
        _explained(function) for group in plan.groups if group.attach is Attach.UPROBE for function in group.functions
    )


def _explained(function: Function) -> bool:
    return function.result in _ERRNO_RESULTS and function.category in _ERRNO_CATEGORIES


def _describe_result(row: np.void, function: Function, attach: Attach) -> None:
    row["result"] = _RESULTS[function.result]
    flags = 0
    if function.return_probe and attach in {Attach.UPROBE, Attach.SYSCALL, Attach.KPROBE}:
        flags |= FunctionFlag.HAS_RETURN
    if attach is Attach.USDT and function.return_places:
        flags |= FunctionFlag.HAS_RETURN
    if attach is Attach.UPROBE and _explained(function):
        flags |= FunctionFlag.ERRNO
    row["flags"] = flags


# Calls that need nothing, or nothing but the file of a descriptor, take a short way through the program.
def _is_plain(row: np.void) -> bool:
    return (
        row["request"].tolist() in ([RequestKind.DESCRIPTOR, 0, 0], [0, 0, 0])
        and row["slot"][0] == row["handle"] == row["out_handle"] == NONE
        and row["snippet"] == 0
        and row["result"] not in _MAKING_RESULTS
        and bool(row["flags"] & FunctionFlag.HAS_RETURN)
    )


# Whether nothing is learned from a call that later ones need: no descriptor, no handle, nothing that a snippet does.
def _is_skippable(row: np.void) -> bool:
    learns = row["snippet"] != 0 or row["closes"] or row["out_handle"] != NONE or row["result"] in _MAKING_RESULTS
    return bool(row["flags"] & FunctionFlag.HAS_RETURN) and not learns


# Where the bytes of a call are that is only counted: those that a line of it would say (trace/line_shape.py).
def _describe_bytes(row: np.void, function: Function, extra: tuple[Argument, ...], attach: Attach) -> None:
    by_slot = attach in {Attach.TRACEPOINT, Attach.USDT}
    places = [(slot if by_slot else argument.index, argument) for slot, argument in enumerate(function.arguments)]
    places += [(REGISTERS + index, argument) for index, argument in enumerate(extra)]
    named = [place for place, argument in places if argument.label == "bytes" and place < REGISTERS + len(extra)]
    sizes = [place for place, argument in places if argument.role is Role.SIZE and place < REGISTERS]
    if named:
        row["moved"], row["moved_at"] = Moved.ARGUMENT, named[0]
    elif function.result is Result.BYTES or (function.result is Result.ITEMS and not sizes):
        row["moved"] = Moved.RESULT
    elif function.result is Result.ITEMS:
        row["moved"], row["moved_at"] = Moved.ITEMS, sizes[0]


# Requests are what the kernel side resolves to identities: the call's file first, then names.
def _describe_arguments(row: np.void, function: Function) -> None:
    places = [argument.index for argument in function.arguments]
    for slot, place in enumerate(places):
        if place < REGISTERS:
            row["source"][slot] = place
    _describe_requests(row, function, places)


# The kernel's functions take addresses, too: those that a role needs are followed, and none is recorded.
def _describe_registers(row: np.void, function: Function) -> None:
    for slot, argument in enumerate(function.arguments):
        if argument.index < REGISTERS:
            row["width"][argument.index] = argument.size
            if argument.role in FOLLOWED_ROLES:
                row["source"][slot] = NONE


# `places` are those of the arguments in dc_call.arguments.
def _describe_requests(row: np.void, function: Function, places: Sequence[int]) -> None:
    bases: dict[int, int] = {}  # slot -> where the directory is that a path in it starts from
    base = NONE
    for slot, (argument, place) in enumerate(zip(function.arguments, places, strict=True)):
        bases[slot] = base
        if argument.role is Role.DIRFD:
            base = place
        elif argument.role in _CLOSES and row["handle"] == NONE:
            row["handle"] = place
            row["closes"] = _CLOSES[argument.role]
        elif argument.role is Role.OUT_HANDLE:
            row["out_handle"] = place
    for index, (slot, argument, is_file) in enumerate(named_arguments(function.arguments)):
        kind = _REQUESTED[argument.role]
        start = bases[slot] if kind == RequestKind.PATH else NONE
        if is_file and start != NONE and function.symbol == _ROOTED:
            kind = RequestKind.ROOTED_PATH
        row["request"][index] = kind
        row["subject"][index] = places[slot]
        row["base"][index] = start
        row["slot"][index] = NONE if is_file else slot


def _describe_fields(row: np.void, function: Function) -> None:
    for slot, argument in enumerate(function.arguments):
        row["source"][slot] = slot
        row["field_size"][slot] = argument.size | (TEXT_VALUE if argument.ctype.startswith(TEXT) else 0)
        row["field_offset"][slot] = argument.index
        row["record_bytes"] = max(row["record_bytes"], argument.index + argument.size)


# Operands that are not known are left out: a value that is not known must not look like one that is.
def _describe_usdt(row: np.void, function: Function, arguments: str) -> None:
    operands = parse_operands(arguments, platform.machine())
    for slot, argument in enumerate(function.arguments):
        operand = operands[argument.index] if argument.index < len(operands) else None
        if not isinstance(operand, Operand):
            continue
        row["source"][slot] = slot
        row["field_size"][slot] = operand.kind
        row["width"][slot] = operand.size | (SIGNED_VALUE if operand.signed else 0)
        if operand.kind is OperandKind.CONSTANT:
            low, high = divmod(operand.displacement % (1 << 64), 1 << 32)[::-1]
            row["displacement"][slot] = low - (1 << 32) if low >= 1 << 31 else low
            row["index_offset"][slot], row["field_offset"][slot] = divmod(high, 1 << 16)
        else:
            row["field_offset"][slot] = operand.register
            row["displacement"][slot] = operand.displacement
            row["index_offset"][slot] = operand.index
            row["scale"][slot] = operand.scale

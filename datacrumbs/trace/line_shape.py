"""What a function's line looks like: which keys it has, and how each value is made from a record."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from datacrumbs.model.contract import SLOTS, NameKind
from datacrumbs.model.plan import Argument, Attach, Result, Role
from datacrumbs.trace.text import json_string

if TYPE_CHECKING:
    from datacrumbs.model.plan import Function, Group, Plan

RESERVED = frozenset(
    [
        "hhash",
        "fhash",
        "depth",
        "ret",
        "errno",
        "symbol",
        "name",
        "value",
        "raw",
        "level",
        "type",
        "cwd",
        "exec_hash",
        "step",
    ]
)
"""Labels that mean something else to readers; an argument of that name is written as ``arg_<name>``."""

MINUS_ONE = frozenset({Result.BYTES, Result.STATUS, Result.FD, Result.OFFSET, Result.MAPPING})
"""Results of which failure is -1 in C; a system call's -errno is written so, as libc's caller sees it."""

MOVED = frozenset({Result.BYTES, Result.ITEMS})


@dataclass(frozen=True, slots=True)
class Field:
    """A key of ``args`` and the slot of ``values`` that it comes from.

    ``kind`` is set where the value is the identity of a name; ``scaled`` where it counts items
    and is to be multiplied by their size; ``one`` where the size itself is then written as 1;
    ``amount`` where a negative value means that it is unknown, and nothing is written.
    """

    key: str
    slot: int
    size: int
    signed: bool
    kind: NameKind | None = None
    scaled: bool = False
    one: bool = False
    amount: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """All that the writer needs to know of one function."""

    head: bytes  # from "name" up to the value of "pid"
    tail: bytes  # the closing, with the symbol where it differs from the name
    fields: tuple[Field, ...]
    result: Result
    items_slot: int  # slot of the SIZE argument when the result is in items, else -1
    bytes_key: bool  # whether "bytes" is derived from the result
    system_call: bool


class Shapes:
    """The shapes of a plan's functions, each made when it is asked for.

    Args:
        plan: The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._groups = plan.groups
        self._starts = [0, *accumulate(len(group.functions) for group in plan.groups)]
        self._declared = {(snippet.provider, snippet.name): snippet.fields for snippet in plan.snippets}

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, number: int) -> Shape:
        position = bisect_right(self._starts, number) - 1
        group = self._groups[position]
        function = group.functions[number - self._starts[position]]
        return _shape(group, function, self._declared.get((group.provider, function.snippet), ()))


def _shape(group: Group, function: Function, extra: tuple[Argument, ...]) -> Shape:
    slots = [*enumerate(function.arguments), *enumerate(extra, start=SLOTS - len(extra))]
    items = [slot for slot, argument in slots if argument.role is Role.SIZE]
    items_slot = items[0] if function.result is Result.ITEMS and items else -1
    fields = _unique(
        [field for field in _fields(slots, SLOTS - len(extra), scaled=items_slot >= 0) if field is not None]
    )
    symbol = b"" if function.symbol == function.name else f',"symbol":{json_string(function.symbol)}'.encode()
    return Shape(
        head=f',"name":{json_string(function.name)},"cat":{json_string(function.category)},"pid":'.encode(),
        tail=symbol + b"}}\n",
        fields=tuple(fields),
        result=function.result,
        items_slot=items_slot,
        bytes_key=function.result in MOVED and all(field.key != "bytes" for field in fields),
        system_call=group.attach is Attach.SYSCALL,
    )


def _fields(slots: list[tuple[int, Argument]], first_extra: int, *, scaled: bool) -> list[Field | None]:
    paths = 0
    found: list[Field | None] = []
    for slot, argument in slots:
        label = f"arg_{argument.label}" if argument.label in RESERVED else argument.label
        plain = Field(label, slot, argument.size, argument.signed)
        match argument.role:
            case Role.PATH:
                paths += 1
                # The first path is the call's file: it is written as fhash.
                key = "newpath_hash" if paths == 2 else f"{argument.label}_hash"
                found.append(replace(plain, key=key, kind=NameKind.PATH) if paths > 1 else None)
            case Role.TARGET_FD:
                found.append(replace(plain, key=f"{argument.label}_hash", kind=NameKind.LOCATION))
            case Role.STRING:
                found.append(replace(plain, key=f"{argument.label}_hash", kind=NameKind.STRING))
            case Role.OUT | Role.OUT_HANDLE:
                continue  # addresses of the program's own memory mean nothing to a reader
            case Role.HANDLE | Role.CLOSED | Role.RELEASED:
                found.append(replace(plain, signed=False))
            case Role.SIZE if scaled:
                found.append(replace(plain, one=True))
            case Role.COUNT if scaled:
                found.append(replace(plain, scaled=True))
            case Role.BYTES | Role.COUNT if argument.signed and slot >= first_extra:
                found.append(replace(plain, amount=True))
            case _:
                found.append(plain)
    return found


def _unique(fields: list[Field]) -> list[Field]:
    # JSON readers differ in which of two equal keys they keep, so none is written twice.
    taken: dict[str, int] = {}
    result = []
    for field in fields:
        taken[field.key] = taken.get(field.key, 0) + 1
        result.append(replace(field, key=f"{field.key}_{taken[field.key]}") if taken[field.key] > 1 else field)
    return result

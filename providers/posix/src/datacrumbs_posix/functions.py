"""The functions of one C library: the tables matched with what it really exports."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from datacrumbs.elf.direct_calls import direct_calls
from datacrumbs.elf.functions import elf_functions
from datacrumbs.elf.signatures import functions_of
from datacrumbs.provider import Role
from datacrumbs_posix import posix_table, stdio_table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from datacrumbs.elf.signatures import Signature
    from datacrumbs.provider import Function
    from datacrumbs_posix.libc import Libc

POSIX: tuple[Signature, ...] = (
    *posix_table.DATA,
    *posix_table.SYNCHRONISATION,
    *posix_table.OPENING,
    *posix_table.ATTRIBUTES,
    *posix_table.NAMES,
    *posix_table.MEMORY,
)
STDIO: tuple[Signature, ...] = (*stdio_table.OPENING, *stdio_table.DATA, *stdio_table.POSITION)
TABLE = (*POSIX, *STDIO)

# The layout of a FILE: where its descriptor is, and the bit that streams in memory lack.
_LAYOUTS = {"glibc": (112, 13), "musl": (120, 0)}


def names(*tables: Iterable[Signature]) -> frozenset[str]:
    """Trace names of tables, for a preset."""
    return frozenset(signature.name for table in tables for signature in table)


def libc_functions(path: Path, libc: Libc) -> tuple[Function, ...]:
    """The functions of a C library that the tables describe, one for each address.

    A symbol that only hands on to another of the same name (``__open_2`` to ``open``) is left out: a program's
    call of it is a call of the other as well, and would be recorded twice.
    """
    symbols = elf_functions(path)
    found = functions_of(TABLE, symbols)
    by_offset = {function.offset: function for function in found}
    calls = direct_calls(path, [symbol for symbol in symbols if symbol.offset in by_offset])
    kept = []
    for function in found:
        inner = [by_offset[offset] for offset in calls.get(function.offset, ())]
        if not any(other.name == function.name for other in inner):
            kept.append(_laid_out(function, _LAYOUTS[libc.kind]))
    return tuple(kept)


def _laid_out(function: Function, layout: tuple[int, int]) -> Function:
    if function.snippet == "stream":
        streams = [each.index for each in function.arguments if each.role in {Role.HANDLE, Role.CLOSED}]
        return replace(function, snippet_arguments=(*streams, *layout))
    return replace(function, snippet_arguments=layout) if function.snippet == "stream_print" else function

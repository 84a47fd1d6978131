"""The functions of one C library: the tables matched with what it really exports."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from datacrumbs.elf.direct_calls import direct_calls
from datacrumbs.elf.functions import elf_functions
from datacrumbs.elf.signatures import functions_of
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

# Their text depends on the layout of the C library's FILE.
_OF_LIBC = ("stream", "print")
_FOR_ALL = ("print_stdout", "print_descriptor")


def names(*tables: Iterable[Signature]) -> frozenset[str]:
    """Trace names of tables, for a preset."""
    return frozenset(signature.name for table in tables for signature in table)


def libc_functions(path: Path, libc: Libc) -> tuple[Function, ...]:
    """The functions of a C library that the tables describe, one for each address.

    A symbol that only hands on to another of the same name (``__open_2`` to ``open``) is left out: a program's
    call of it is a call of the other as well, and would be told twice.
    """
    symbols = elf_functions(path)
    found = functions_of(TABLE, symbols)
    by_offset = {function.offset: function for function in found}
    calls = direct_calls(path, [symbol for symbol in symbols if symbol.offset in by_offset])
    kept = []
    for function in found:
        inner = [by_offset[offset] for offset in calls.get(function.offset, ())]
        if not any(other.name == function.name for other in inner):
            kept.append(replace(function, snippet=_snippet(function.snippet, libc)))
    return tuple(kept)


def _snippet(name: str, libc: Libc) -> str:
    return f"{libc.kind}_{name}" if name.startswith(_OF_LIBC) and name not in _FOR_ALL else name

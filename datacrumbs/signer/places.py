"""Where an ELF file may be probed.

A uprobe writes a breakpoint over an instruction in every process that maps the file. At an
offset inside an instruction that breaks programs of all users, so the signer lets only places in that
the file itself declares: symbols of functions, starts of unwind entries, USDT probes and their
semaphores (a semaphore is a counter that the kernel increments in each process's memory).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.elf.file import ELF_PROBLEMS, Elf
from datacrumbs.elf.segments import unwind_table
from datacrumbs.elf.symbol_tables import file_offsets, is_function, symbol_tables
from datacrumbs.elf.usdt import usdt_notes

if TYPE_CHECKING:
    from io import BufferedReader

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Places:
    """File offsets that may be probed, those of USDT probes each with the offset of its semaphore, or 0."""

    functions: frozenset[int]
    usdt: frozenset[tuple[int, int]]


def probe_places(stream: BufferedReader) -> Places:
    """The places of an open ELF file; empty when it is not one or gives a false layout."""
    try:
        return _places(Elf(stream))
    except ELF_PROBLEMS:
        return Places(frozenset(), frozenset())


def _places(elf: Elf) -> Places:
    starts = [table.rows["value"][is_function(table.rows)] for table in symbol_tables(elf)]
    starts.append(unwind_table(elf)[:, 0].astype(np.uint64))
    notes = tuple(usdt_notes(elf))
    points = _offsets(elf, np.array([note.address for note in notes], np.uint64), executable=True).tolist()
    counters = _offsets(elf, np.array([note.semaphore for note in notes], np.uint64), executable=False).tolist()
    usdt = {
        (point, max(counter, 0) if note.semaphore else 0)
        for note, point, counter in zip(notes, points, counters, strict=True)
        if point >= 0
    }
    functions = _offsets(elf, np.unique(np.concatenate(starts)), executable=True)
    return Places(frozenset(functions[functions >= 0].tolist()), frozenset(usdt))


def _offsets(elf: Elf, addresses: NDArray[np.uint64], *, executable: bool) -> NDArray[np.int64]:
    return file_offsets(addresses, [each for each in elf.loads if each.executable == executable])

"""USDT probes of an ELF file, from its ``.note.stapsdt`` section."""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.elf.file import notes_in, open_elf
from datacrumbs.elf.symbol_tables import file_offsets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datacrumbs.elf.file import Elf

_OWNER, _KIND = b"stapsdt\0", 3


@dataclass(frozen=True, slots=True)
class UsdtProbe:
    """The places of one USDT probe that take their arguments in the same way.

    Args:
        provider: The probe's provider (``python``).
        name: The probe (``function__entry``).
        locations: File offsets of its places, ascending.
        semaphore: File offset of the counter that switches it on, or 0.
        arguments: The note's argument format (``8@%rdi -4@$5``), empty for none.
    """

    provider: str
    name: str
    locations: tuple[int, ...]
    semaphore: int
    arguments: str


def usdt_probes(path: Path | str) -> tuple[UsdtProbe, ...]:
    """The USDT probes of a file, sorted by provider, name and first place.

    Places of one probe whose arguments are in different registers are separate entries: each argument
    format belongs to its places only. Addresses are corrected for prelinking by the note's base address.

    Raises:
        DatacrumbsError: (exit 2) when the file is missing, unreadable or no 64-bit little-endian ELF file.
    """
    with open_elf(path) as elf:
        notes = list(usdt_notes(elf))
        loads = elf.loads if notes else ()
    places = file_offsets(np.array([note.address for note in notes], np.uint64), loads).tolist()
    counters = file_offsets(np.array([note.semaphore for note in notes], np.uint64), loads).tolist()
    found: defaultdict[tuple[str, str, int, str], list[int]] = defaultdict(list)
    for note, place, counter in zip(notes, places, counters, strict=True):
        if place >= 0:
            semaphore = counter if note.semaphore and counter > 0 else 0
            found[note.provider, note.name, semaphore, note.arguments].append(place)
    probes = [
        UsdtProbe(provider, name, tuple(sorted(set(locations))), semaphore, arguments)
        for (provider, name, semaphore, arguments), locations in found.items()
    ]
    return tuple(sorted(probes, key=lambda probe: (probe.provider, probe.name, probe.locations)))


@dataclass(frozen=True, slots=True)
class UsdtNote:
    """One place of a probe: its address, and that of its semaphore or 0."""

    provider: str
    name: str
    arguments: str
    address: int
    semaphore: int


def usdt_notes(elf: Elf) -> Iterator[UsdtNote]:
    """The places of all USDT probes; one of `ELF_PROBLEMS` for notes that are damaged."""
    section, base = elf.section(".note.stapsdt"), elf.section(".stapsdt.base")
    if section is None:
        return
    form = struct.Struct(elf.order + ("QQQ" if elf.bits == 64 else "III"))
    for note in notes_in(elf.content(section), elf.order):
        if note.owner != _OWNER or note.kind != _KIND:
            continue
        address, noted_base, semaphore = form.unpack_from(note.content)
        # A prelinker moves the base section with the code but not the addresses inside notes.
        shift = base.address - noted_base if base is not None else 0
        texts = note.content[form.size :].split(b"\0")
        provider, name, arguments = (text.decode("utf-8", "surrogateescape") for text in texts[:3])
        yield UsdtNote(provider, name, arguments, address + shift, semaphore + shift if semaphore else 0)

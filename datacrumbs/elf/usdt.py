"""USDT probes of an ELF file, from its ``.note.stapsdt`` section."""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from elftools.elf.sections import NoteSection

from datacrumbs.elf.functions import file_offsets, load_segments, open_elf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from elftools.elf.elffile import ELFFile

# NT_STAPSDT is 3; pyelftools names a number after the meaning that GNU's notes give it
_NOTE_TYPES = (3, "NT_GNU_BUILD_ID", "NT_STAPSDT")
_ADDRESSES = struct.Struct("<QQQ")


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
        notes = list(_notes(elf))
    if not notes:
        return ()
    segments = load_segments(path)
    places = file_offsets(np.array([note.address for note in notes], np.uint64), segments).tolist()
    counters = file_offsets(np.array([note.semaphore for note in notes], np.uint64), segments).tolist()
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
class _Note:
    provider: str
    name: str
    arguments: str
    address: int
    semaphore: int


def _notes(elf: ELFFile) -> Iterator[_Note]:
    section = elf.get_section_by_name(".note.stapsdt")
    if not isinstance(section, NoteSection):
        return
    base = elf.get_section_by_name(".stapsdt.base")
    for note in section.iter_notes():
        if note["n_name"] != "stapsdt" or note["n_type"] not in _NOTE_TYPES:
            continue
        content = note["n_descdata"]
        address, noted_base, semaphore = _ADDRESSES.unpack_from(content)
        # A prelinker moves the base section with the code but not the addresses inside notes.
        shift = base["sh_addr"] - noted_base if base is not None else 0
        texts = content[_ADDRESSES.size :].split(b"\0")
        provider, name, arguments = (text.decode("utf-8", "surrogateescape") for text in texts[:3])
        yield _Note(provider, name, arguments, address + shift, semaphore + shift if semaphore else 0)

"""Which functions of a file call each other directly: which distinguishes a wrapper from the function that it wraps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.elf.file import open_elf

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from datacrumbs.elf.functions import ElfFunction

_SHORT_JUMP = 0xEB
_BRANCHES = (0b000101, 0b100101)  # aarch64: the top six bits of b and bl
_CODE_LIMIT = 1 << 20


def direct_calls(path: Path | str, functions: Iterable[ElfFunction]) -> Mapping[int, frozenset[int]]:
    """The direct calls and jumps among functions of one file, as file offset -> file offsets.

    Only targets that are among ``functions`` count. A displacement that leads exactly to the start of one of
    them is taken for a call; calls through tables or registers are not seen.

    Raises:
        DatacrumbsError: (exit 2) when the file is missing, unreadable or no 64-bit little-endian ELF file.
    """
    known = sorted({function.offset: function.size for function in functions}.items())
    starts = np.array([offset for offset, _size in known], np.int64)
    found: dict[int, frozenset[int]] = {}
    with open_elf(path) as elf:
        find = {"EM_X86_64": _x86_targets, "EM_AARCH64": _arm_targets}.get(elf.machine)
        for offset, size in known:
            if find is None or not 0 < size <= _CODE_LIMIT:
                continue
            targets = find(elf.read(offset, min(size, elf.size - offset)), offset)
            hits = targets[np.isin(targets, starts) & (targets != offset)]
            found[offset] = frozenset(hits.tolist())
    return found


def calls_and_jumps(content: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Where x86-64 code may have a call or jump with a displacement of 32 bits; five bytes are left for it."""
    return np.flatnonzero((content[:-4] & 0xFE) == 0xE8)


def displaced(content: NDArray[np.uint8], base: int, places: NDArray[np.intp]) -> NDArray[np.int64]:
    """What the displacements of 32 bits at these places lead to, from behind them; ``base`` is the first byte's."""
    return base + places + 4 + words_at(content, places)


def displaced_shortly(content: NDArray[np.uint8], base: int, places: NDArray[np.intp]) -> NDArray[np.int64]:
    """The same of displacements of 8 bits."""
    targets: NDArray[np.int64] = base + places + 1 + content[places].view(np.int8).astype(np.int64)
    return targets


def words_at(content: NDArray[np.uint8], places: NDArray[np.intp]) -> NDArray[np.int64]:
    """Signed numbers of 32 bits."""
    windows = np.stack([content[places + byte] for byte in range(4)], axis=1)
    words: NDArray[np.int64] = windows.view("<i4").reshape(-1).astype(np.int64)
    return words


def _x86_targets(code: bytes, offset: int) -> NDArray[np.int64]:
    content = np.frombuffer(code, np.uint8)
    short = np.flatnonzero(content[:-1] == _SHORT_JUMP)
    far = displaced(content, offset, calls_and_jumps(content) + 1)
    return np.concatenate([far, displaced_shortly(content, offset, short + 1)])


def _arm_targets(code: bytes, offset: int) -> NDArray[np.int64]:
    words = np.frombuffer(code[: len(code) // 4 * 4], "<u4")
    places = np.flatnonzero(np.isin(words >> 26, _BRANCHES))
    immediate = (words[places] & 0x03FF_FFFF).astype(np.int64)
    immediate -= (immediate >> 25) << 26
    return offset + places * 4 + immediate * 4

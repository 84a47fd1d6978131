"""Where control may enter the code of an x86-64 file other than by falling through.

The search errs on the safe side: each byte that may begin a branch counts as one, wherever it is, and so do all
aligned words of data that hold an address of code. What is found at a place that matters is then looked at again with
a disassembler, which dismisses bytes in the middle of other instructions.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.elf.direct_calls import calls_and_jumps, displaced, displaced_shortly, words_at
from datacrumbs.elf.disassembly import leads_into
from datacrumbs.elf.unwind import landing_pads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from datacrumbs.elf.segments import ProgramImage, Segment

    Addresses = NDArray[np.int64]

_LINEAR_LIMIT = 1 << 20


class Windows:
    """Ranges of addresses that must not be entered: ``low[i]`` to ``high[i]``, both included, in ascending order."""

    def __init__(self, low: Addresses, high: Addresses) -> None:
        order = np.argsort(low)
        self.low, self.high = low[order], high[order]
        self.entered = np.zeros(len(low), bool)

    def hits(self, targets: Addresses) -> tuple[Addresses, Addresses]:
        """Which targets are in a window: their places among the targets, and their windows."""
        index = np.searchsorted(self.low, targets, "right") - 1
        inside = (index >= 0) & (targets <= self.high[index])
        return np.flatnonzero(inside), index[inside]

    def enter(self, targets: Addresses) -> None:
        """Mark the windows of these targets."""
        self.entered[self.hits(targets)[1]] = True


def entered_windows(image: ProgramImage, windows: Windows) -> NDArray[np.bool_]:
    """Mark each window that something may enter, and give the marks.

    Direct branches, addresses that code takes, tables of branches, pointers in data, other symbols, unwind entries
    and handlers of exceptions count. A return address or a signal's cannot be in a window whose instructions do
    not call.
    """
    if not len(windows.low):
        return windows.entered
    windows.enter(image.starts)
    windows.enter(landing_pads(image))
    taken: list[Addresses] = [np.zeros(0, np.int64)]
    for segment in image.segments:
        if segment.executable:
            for places, targets in _branches(segment):
                _enter_confirmed(image, segment, windows, places, targets)
            places, targets = _taken_addresses(segment)
            _enter_confirmed(image, segment, windows, places, targets)
            taken.append(targets)
            _enter_computed(image, segment, windows, places, targets)
        _enter_pointers(image, segment, windows)
    windows.enter(_table_targets(image, np.unique(np.concatenate(taken))))
    return windows.entered


# Places of opcodes and what they lead to, as offset and address: call and jmp, jcc, xbegin, then the short ones.
def _branches(segment: Segment) -> Iterator[tuple[Addresses, Addresses]]:
    content, base = segment.content, segment.address
    first, second = content[:-6], content[1:-5]
    near = calls_and_jumps(content)
    yield near, displaced(content, base, near + 1)
    far = np.flatnonzero(((first == 0x0F) & (second & 0xF0 == 0x80)) | ((first == 0xC7) & (second == 0xF8)))
    yield far, displaced(content, base, far + 2)
    opcode = content[:-1]
    short = np.flatnonzero(((opcode & 0xF0) == 0x70) | (opcode == 0xEB) | ((opcode & 0xFC) == 0xE0))
    yield short, displaced_shortly(content, base, short + 1)


# lea REGISTER, [rip + displacement]
def _taken_addresses(segment: Segment) -> tuple[Addresses, Addresses]:
    content = segment.content
    places = np.flatnonzero((content[:-6] == 0x8D) & ((content[1:-5] & 0xC7) == 0x05))
    return places, displaced(content, segment.address, places + 2)


def _enter_confirmed(
    image: ProgramImage, segment: Segment, windows: Windows, places: Addresses, targets: Addresses
) -> None:
    which, index = windows.hits(targets)
    starts = image.starts
    for place, window in zip((places[which] + segment.address).tolist(), index.tolist(), strict=True):
        if windows.entered[window]:
            continue
        begin = bisect_right(starts, place) - 1
        at = int(starts[begin]) if begin >= 0 else segment.address
        if at < segment.address or place - at > _LINEAR_LIMIT:
            windows.entered[window] = True
            continue
        code = segment.content[at - segment.address : place - segment.address + 16].tobytes()
        low, high = int(windows.low[window]), int(windows.high[window])
        windows.entered[window] = leads_into(code, at, place, low, high)


# A jump to a computed address in a function that takes addresses of its own inside: labels as values.
def _enter_computed(
    image: ProgramImage, segment: Segment, windows: Windows, places: Addresses, targets: Addresses
) -> None:
    content, starts = segment.content, image.starts
    jumps = np.flatnonzero((content[:-1] == 0xFF) & ((content[1:] & 0xF8) == 0xE0)) + segment.address
    if not len(jumps) or not len(starts):
        return
    jumping = np.unique(np.searchsorted(starts, jumps, "right") - 1)
    owner = np.searchsorted(starts, places + segment.address, "right") - 1
    inside = (np.searchsorted(starts, targets, "right") - 1 == owner) & ~np.isin(targets, starts)
    label_takers = np.intersect1d(jumping, owner[inside])
    mine = np.searchsorted(starts, windows.low, "left") - 1
    windows.entered |= np.isin(mine, label_takers)


def _enter_pointers(image: ProgramImage, segment: Segment, windows: Windows) -> None:
    skew = -segment.address % 8
    content = segment.content[skew:]
    windows.enter(content[: len(content) // 8 * 8].view("<i8"))
    if image.fixed:
        for shift in range(4):
            rest = segment.content[shift:]
            windows.enter(rest[: len(rest) // 4 * 4].view("<u4").astype(np.int64))


# A table of branches holds 4-byte distances from its own start. Code takes the address of each table, so one ends
# where the next begins, or at the first distance that leads to no code.
def _table_targets(image: ProgramImage, tables: Addresses) -> Addresses:
    code = [segment for segment in image.segments if segment.executable]
    found = [np.zeros(0, np.int64)]
    for segment in image.segments:
        base = tables[(tables >= segment.address) & (tables < segment.end)]
        end = np.append(base[1:], segment.end)
        at = base.copy()
        while len(at := at[(fits := at + 4 <= end)]):
            base, end = base[fits], end[fits]
            targets = base + words_at(segment.content, at - segment.address)
            leads = np.zeros(len(targets), bool)
            for each in code:
                leads |= (targets >= each.address) & (targets < each.end)
            found.append(targets[leads])
            base, end, at = base[leads], end[leads], at[leads] + 4
    return np.concatenate(found)

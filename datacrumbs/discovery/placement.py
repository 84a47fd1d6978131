"""How far a probe may be moved from a function's start so that the kernel need not single-step there.

A probe on an instruction that the kernel cannot carry out itself costs several times one that stands on a push or
a no-operation. Within the first instructions nearly every function has a better place, and nothing is lost when
the arguments and the return address are still where they were, and when each call passes the place exactly once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from datacrumbs.discovery.disassembly import PROLOGUE, bytes_to_skip
from datacrumbs.discovery.entrances import Windows, entered_windows
from datacrumbs.discovery.image import read_image
from datacrumbs.probefile.buildid import ELF_PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Mapping


def probe_skips(stream: BinaryIO, functions: Mapping[int, frozenset[int]]) -> Mapping[int, int]:
    """For functions of an ELF file, how many bytes their probes may be moved on.

    Args:
        stream: The file, opened for reading; its position is changed.
        functions: File offset of a function's first instruction -> positions of the arguments that the probe reads.

    Returns:
        Bytes to skip by offset, for those that can be moved; empty for another machine's code, for what is no
        ELF file, and where its tables cannot be read.
    """
    try:
        return _skips(stream, functions)
    except ELF_PROBLEMS:
        return {}


def _skips(stream: BinaryIO, functions: Mapping[int, frozenset[int]]) -> Mapping[int, int]:
    image = read_image(stream)
    if image.machine != "EM_X86_64":
        return {}
    moved: dict[int, tuple[int, int]] = {}
    for offset, captured in functions.items():
        address = image.address_of(offset)
        segment = image.code_at(address) if address is not None else None
        if address is None or segment is None:
            continue
        begin = address - segment.address
        code = segment.content[begin : begin + PROLOGUE].tobytes()
        skip = bytes_to_skip(code, address, captured, image.is_constant)
        if skip:
            moved[address] = offset, skip
    addresses = np.array(sorted(moved), np.int64)
    skips = np.array([moved[address][1] for address in addresses.tolist()], np.int64)
    windows = Windows(addresses + 1, addresses + skips)
    entered = entered_windows(image, windows)
    known = np.isin(addresses, image.starts)
    return {
        moved[address][0]: moved[address][1]
        for address, free in zip(addresses.tolist(), (~entered & known).tolist(), strict=True)
        if free
    }

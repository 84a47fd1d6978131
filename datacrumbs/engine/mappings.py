"""What the kernel side reports about files that traced processes map to execute."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

MAPPING_RING_SIZE = 1 << 18
"""Room for some 3,000 files that nobody has looked at yet; each is told of once."""

MAPPED_KEY = np.dtype(
    [("inode", "<u8"), ("number", "<u8"), ("size", "<u8"), ("device", "<u4"), ("generation", "<u4")],
)
"""`struct dc_mapped_key` of ``bpf/layout.h``."""

MAPPING = np.dtype(
    [
        ("time", "<u8"),  # CLOCK_MONOTONIC, ns
        ("address", "<u8"),
        ("length", "<u8"),
        ("file", MAPPED_KEY),
        ("process", "<u4"),
        ("kind", "<u4"),  # MappingKind
    ]
)
"""`struct dc_mapping` of ``bpf/layout.h``."""


class MappingKind(IntEnum):
    """`enum dc_mapping_kind` of ``bpf/layout.h``."""

    FILE = 1  # by mmap(2)
    PROGRAM = 2  # by execve(2): the program, and what the kernel maps with it
    ALL = 3  # whatever is mapped when the tracing of a process begins

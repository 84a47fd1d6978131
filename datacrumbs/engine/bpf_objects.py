"""Maps and programs of the kernel by bpf(2), as handles.

Layouts are those of `union bpf_attr` in the kernel's uapi header linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.engine import links

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from datacrumbs.engine.image import MapSpecification

_MAP_CREATE, _MAP_UPDATE, _MAP_DELETE, _NEXT_KEY, _PROGRAM_LOAD, _LOOKUP_BATCH, _UPDATE_BATCH = 0, 2, 3, 4, 5, 24, 26
_PERCPU_ARRAY = 6
_LOG_SIZE = 1 << 24
_LICENCE = b"GPL"
_POSSIBLE = "/sys/devices/system/cpu/possible"


class Map(links.Descriptor):
    """One map; closed with `close`."""

    def __init__(self, specification: MapSpecification, entries: int, types: tuple[int, int, int] = (0, 0, 0)) -> None:
        self.specification = specification
        self.entries = entries
        name, kind, key_size, value_size, _, flags = dataclasses.astuple(specification)
        attributes = links.attributes(
            # type, sizes, entries, flags, inner map, node, name, interface, type information and ids, kernel's value
            "<IIIIIII15sxIIIII",
            *(kind, key_size, value_size, entries, flags, 0, 0, name.encode()[:15], 0, *types, 0),
        )
        super().__init__(links.bpf(_MAP_CREATE, attributes))

    def set(self, index: int, value: bytes) -> None:
        """Set one element of an array map."""
        self.put(struct.pack("<I", index), value)

    def put(self, key: bytes, value: bytes) -> None:
        """Set one element; both are filled up with zeros."""
        name = ctypes.create_string_buffer(key, self.specification.key_size)
        data = ctypes.create_string_buffer(value, self.specification.value_size)
        links.bpf(
            _MAP_UPDATE,
            links.attributes("<I4xQQQ", self.descriptor, ctypes.addressof(name), ctypes.addressof(data), 0),
        )

    def remove(self, key: bytes) -> None:
        """Remove an element of a hash map, if it is there."""
        data = ctypes.create_string_buffer(key, self.specification.key_size)
        with suppress(FileNotFoundError):
            links.bpf(_MAP_DELETE, links.attributes("<I4xQQQ", self.descriptor, ctypes.addressof(data), 0, 0))

    def fill(self, values: NDArray[np.generic]) -> None:
        """Set the first elements of an array map, one per element of ``values``, in one call."""
        if not len(values):
            return
        values = np.ascontiguousarray(values)
        if values.itemsize != self.specification.value_size:
            raise ValueError(f"{self.specification.name}: elements of {self.specification.value_size} bytes expected")
        keys = np.arange(len(values), dtype=np.uint32)
        links.bpf(_UPDATE_BATCH, self._batch(0, 0, keys, values, len(values)))

    def read(self, count: int) -> NDArray[np.uint8]:
        """The first ``count`` elements of an array map, in one call.

        Returns:
            Bytes of shape (count, size), or (count, processors, size) for a map per processor.

        """
        return self.items(count)[1]

    def items(self, count: int) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
        """At most ``count`` elements of a map with keys of four bytes, in one call.

        Returns:
            Their keys, and their bytes as `read` gives them; zeros behind the last one.
        """
        size = self.specification.value_size
        shape: tuple[int, ...] = (count, size)
        if self.specification.kind == _PERCPU_ARRAY:
            shape = (count, possible_processors(), (size + 7) & ~7)
        values = np.zeros(shape, np.uint8)
        keys = np.zeros(count, np.uint32)
        position = np.zeros(1, np.uint32)
        try:
            links.bpf(_LOOKUP_BATCH, self._batch(0, position.ctypes.data, keys, values, count))
        except OSError as error:
            if error.errno != errno.ENOENT:  # the end of the map
                raise
        return keys, values[..., :size]

    def is_empty(self) -> bool:
        """Whether a hash map has no element."""
        key = ctypes.create_string_buffer(self.specification.key_size)
        try:
            links.bpf(_NEXT_KEY, links.attributes("<I4xQQ", self.descriptor, 0, ctypes.addressof(key)))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return True
            raise
        return False

    def _batch(
        self, first: int, position: int, keys: NDArray[np.uint32], values: NDArray[np.generic], count: int
    ) -> ctypes.Array[ctypes.c_char]:
        return links.attributes(
            "<QQQQIIQQ", first, position, keys.ctypes.data, values.ctypes.data, count, self.descriptor, 0, 0
        )


@dataclass(frozen=True, slots=True)
class ProgramKind:
    """What a program is loaded as: its type, the type of attachment expected, the kernel's function it attaches to."""

    kind: int
    attach: int = 0
    target: int = 0


@dataclass(frozen=True, slots=True)
class Instructions:
    """What the kernel gets of a program.

    Args:
        code: Its instructions, with those of its functions behind.
        types: Descriptor of type information.
        functions: The index of each function's first instruction and its type id; the program itself is the first.

    """

    code: bytes
    types: int
    functions: tuple[tuple[int, int], ...]


def load_program(name: str, instructions: Instructions, kind: ProgramKind) -> int:
    """Have a program verified; gives its descriptor.

    Raises:
        OSError: with the kernel's answer.

    """
    return _load(name, instructions, kind, None)


def verifier_log(name: str, instructions: Instructions, kind: ProgramKind) -> str:
    """What the verifier says about a program that it refuses."""
    log = ctypes.create_string_buffer(_LOG_SIZE)
    try:
        os.close(_load(name, instructions, kind, log))
    except OSError:
        return log.value.decode(errors="replace")
    return ""


def _load(name: str, given: Instructions, kind: ProgramKind, log: ctypes.Array[ctypes.c_char] | None) -> int:
    functions = b"".join(struct.pack("<II", *entry) for entry in given.functions)
    code, licence = links.address(given.code), links.address(_LICENCE)
    logged = (1, _LOG_SIZE, ctypes.addressof(log)) if log is not None else (0, 0, 0)
    short = name.encode()[:15]
    attributes = links.attributes(
        # type, count, instructions, licence, log level, size, buffer, kernel version, flags, name, interface,
        # attachment, types, record size, functions, count, line record size, lines, count, attached function, program
        "<IIQQIIQII15sxIIIIQIIQIII4x",
        *(kind.kind, len(given.code) // 8, code, licence, *logged, 0, 0, short, 0),
        *(kind.attach, given.types, 8, links.address(functions), len(given.functions), 0, 0, 0, kind.target, 0),
    )
    return links.bpf(_PROGRAM_LOAD, attributes)


def possible_processors() -> int:
    """How many processors the kernel keeps values for."""
    with open(_POSSIBLE, encoding="ascii") as file:
        return sum(1 + int(last or first) - int(first) for first, _, last in _ranges(file.read()))


def _ranges(text: str) -> list[tuple[str, str, str]]:
    return [part.partition("-") for part in text.strip().split(",")]

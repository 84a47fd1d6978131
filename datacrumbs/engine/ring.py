"""The kernel's ring buffers, read through their own pages in bulk.

Page 0 of the map holds the consumer's position, page 1 the producer's, then the data, twice, so
that no record wraps. Of the second time only a part is mapped, since mapped pages count as our
memory. A record has an 8-byte head: length with a busy and a discarded bit, and a page offset
(kernel/bpf/ringbuf.c).
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.model.contract import LocationFlag, NameKind
from datacrumbs.model.layouts import NAME_HEAD, RECORD
from datacrumbs.model.record import CUT, DELETED, Batch, Name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_PAGE = mmap.PAGESIZE
_OVERLAP = 1 << 20  # far longer than the longest record
_BUSY = 1 << 31
_DISCARDED = 1 << 30
_LENGTH = _DISCARDED - 1
# A call is of no fields here, so that numpy copies it as a whole: field by field takes five times as long.
_FRAMED_CALL = np.dtype([("head", "<u4"), ("page", "<u4"), ("call", f"V{RECORD.itemsize}")])
_PIPE, _SOCKET, _ANONYMOUS, _PROCESSES, _NAMESPACES = 0x50495045, 0x534F434B, 0x09041934, 0x50494446, 0x6E736673
_MEMORY_FILE = "memfd:"
_LOCATIONS = {NameKind.LOCATION, NameKind.PLACE}


MAPPING_RING_SIZE = 1 << 18
"""Bytes of the ring of mappings: room for some 3,000 files that were not looked at yet; each is reported once."""


class Ring:
    """One ring buffer map.

    Args:
        descriptor: The map's file descriptor.
        size: Bytes of its data, a power of two.

    """

    def __init__(self, descriptor: int, size: int) -> None:
        self._mask = size - 1
        self._consumer_page = mmap.mmap(descriptor, _PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._end = size + min(size, _OVERLAP)
        self._pages = mmap.mmap(descriptor, _PAGE + self._end, mmap.MAP_SHARED, mmap.PROT_READ, offset=_PAGE)
        self._consumer = np.frombuffer(self._consumer_page, np.uint64, 1)
        self._producer = np.frombuffer(self._pages, np.uint64, 1)

    def calls(self, limit: int) -> NDArray[np.void]:
        """Take up to ``limit`` finished records of the ring of calls, copied out of the ring."""
        position = int(self._consumer[0])
        start = position & self._mask
        there = min(int(self._producer[0]) - position, self._end - start)
        framed = np.frombuffer(self._pages, _FRAMED_CALL, min(limit, there // _FRAMED_CALL.itemsize), _PAGE + start)
        head = framed["head"]
        busy = np.flatnonzero(head & _BUSY)
        if busy.size:
            framed = framed[: busy[0]]
            head = head[: busy[0]]
        calls = framed["call"][(head & _DISCARDED) == 0]
        self._consumer[0] = position + framed.size * _FRAMED_CALL.itemsize
        return np.asarray(calls).view(RECORD)

    def payloads(self) -> Iterator[bytes]:
        """Take every finished record of a ring whose records differ in length."""
        position = int(self._consumer[0])
        end = int(self._producer[0])
        while position < end:
            at = _PAGE + (position & self._mask)
            head = int.from_bytes(self._pages[at : at + 4], "little")
            if head & _BUSY:
                break
            length = head & _LENGTH
            if not head & _DISCARDED:
                yield self._pages[at + 8 : at + 8 + length]
            position += (length + 8 + 7) & ~7
            self._consumer[0] = position

    def close(self) -> None:
        """Unmap."""
        del self._consumer, self._producer
        self._consumer_page.close()
        self._pages.close()


@dataclass(frozen=True, slots=True)
class RingMaps:
    """The two ring buffer maps of a program: descriptors, and bytes of their data."""

    calls: int
    calls_size: int
    names: int
    names_size: int


class Rings:
    """Both rings as batches of records. The descriptors are not needed any more afterwards."""

    def __init__(self, maps: RingMaps) -> None:
        self._calls = Ring(maps.calls, maps.calls_size)
        self._names = Ring(maps.names, maps.names_size)

    def poll(self, limit: int = 65536) -> Batch:
        """Take what the rings hold, at most ``limit`` calls; never waits.

        The calls are read first and the names after them, so every name that a call refers to
        is in this batch or an earlier one.
        """
        calls = self._calls.calls(limit)
        return Batch(calls, tuple(decode_name(payload) for payload in self._names.payloads()))

    def close(self) -> None:
        """Unmap."""
        self._calls.close()
        self._names.close()


def decode_name(payload: bytes) -> Name:
    """A record of the ring of names; open files get the absolute path that the kernel's tree gives."""
    head = np.frombuffer(payload, NAME_HEAD, 1)[0]
    data = payload[NAME_HEAD.itemsize : NAME_HEAD.itemsize + int(head["length"])]
    kind = NameKind(int(head["kind"]))
    text = _location(head, data) if kind in _LOCATIONS else data.decode("utf-8", "surrogateescape")
    base = int(head["base"])
    if kind is NameKind.PATH and base:
        text = text.lstrip("/")  # its root is the base, in a process whose root is not the host's
    return Name(int(head["identity"]), kind, base, text)


# Components come leaf first, each with its NUL; files without a place are named as /proc does.
def _location(head: np.void, data: bytes) -> str:
    components = [part.decode("utf-8", "surrogateescape") for part in data.split(b"\0")[:-1]]
    magic, inode, flags = int(head["magic"]), int(head["inode"]), int(head["flags"])
    if magic == _PIPE:
        return f"pipe:[{inode}]"
    if magic == _SOCKET:
        return f"socket:[{inode}]"
    if magic == _ANONYMOUS:
        return f"anon_inode:{components[0] if components else ''}"
    if magic == _PROCESSES:
        return "anon_inode:[pidfd]"
    if magic == _NAMESPACES:
        return f"namespace:[{inode}]"
    path = "/".join(part for part in reversed(components) if part != "/")
    deleted = flags & LocationFlag.DELETED or path.startswith(_MEMORY_FILE)
    return (CUT if flags & LocationFlag.CUT else "/") + path + (DELETED if deleted else "")

"""The few bpf(2) and perf_event_open(2) calls that attach a loaded program.

bcc compiles and loads; it cannot pass attach cookies or make multi links, and its own uprobe
attach passes a garbage reference-counter offset. Layouts are those of `union bpf_attr` and
`struct perf_event_attr` in the kernel's uapi headers.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from datacrumbs.kernel.tracefs import mounted_tracefs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import NDArray

_NUMBERS = {"x86_64": (321, 298), "aarch64": (280, 241)}
_RAW_TRACEPOINT_OPEN = 17
_LINK_CREATE = 28
_ITER_CREATE = 33
_TRACE_ITER = 28
_PERF_EVENT = 41
UPROBE_MULTI = 48
UPROBE_SESSION = 57
_MULTI_RETURN = 1
_PERF_TYPE_TRACEPOINT = 2
_PERF_FLAG_FD_CLOEXEC = 8
_PERF_ATTR_SIZE = 128
_CLOSED_AT_ONCE = 16
_DEVICES = Path("/sys/bus/event_source/devices")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


SITE = np.dtype([("offset", "<u8"), ("cookie", "<u8"), ("semaphore", "<u8")])
"""Where a uprobe goes and who it is: file offset, function identity, semaphore offset or 0."""


def sites(offsets: Sequence[int], cookies: Sequence[int], semaphores: Sequence[int] | int = 0) -> NDArray[np.void]:
    """SITE rows."""
    made = np.zeros(len(offsets), SITE)
    made["offset"], made["cookie"], made["semaphore"] = offsets, cookies, semaphores
    return made


class Descriptor:
    """Something of the kernel's that a file descriptor holds; given back when closed.

    Attributes:
        descriptor: The file descriptor; -1 once closed.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give it back; what was made with it keeps what it needs. Idempotent."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Link:
    """An attached program; detached when closed."""

    def __init__(self, *descriptors: int) -> None:
        self._descriptors = list(descriptors)

    def close(self) -> None:
        """Detach; idempotent."""
        while self._descriptors:
            os.close(self._descriptors.pop())


def close_links(links: Collection[Link]) -> None:
    """Close them all, and wait for the last; each waits until no processor runs its program, so many wait together."""
    with ThreadPoolExecutor(_CLOSED_AT_ONCE) as pool:
        for _ in pool.map(Link.close, links):
            pass


def _syscall(position: int, *arguments: object) -> int:
    number = _NUMBERS[platform.machine()][position]
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def bpf(command: int, attributes: ctypes.Array[ctypes.c_char]) -> int:
    """The system call; ``attributes`` are those of the command, and hold its answer afterwards.

    Raises:
        OSError: The kernel's error.
    """
    return _syscall(0, ctypes.c_long(command), attributes, ctypes.c_long(len(attributes)))


def attributes(layout: str, *values: int | bytes) -> ctypes.Array[ctypes.c_char]:
    """The attributes of a `bpf` command, packed as by `struct`."""
    packed = struct.pack(layout, *values)
    return ctypes.create_string_buffer(packed, len(packed))


def address(data: bytes) -> int:
    """Where bytes are in memory, for as long as they are referred to."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


def _perf_event_open(attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes.ljust(_PERF_ATTR_SIZE, b"\0"), _PERF_ATTR_SIZE)
    return _syscall(
        1, buffer, ctypes.c_long(-1), ctypes.c_long(0), ctypes.c_long(-1), ctypes.c_long(_PERF_FLAG_FD_CLOEXEC)
    )


def attach_raw_tracepoint(program: int, name: str) -> Link:
    """Attach to a raw tracepoint by its name (``sys_enter``)."""
    text = ctypes.create_string_buffer(name.encode())
    return Link(bpf(_RAW_TRACEPOINT_OPEN, attributes("<QI4x", ctypes.addressof(text), program)))


def attach_raw_tracepoints(program: int, names: Sequence[str]) -> Iterator[Link]:
    """Attach to the first of some raw tracepoints, and to those of the others that this kernel has."""
    yield attach_raw_tracepoint(program, names[0])
    for name in names[1:]:
        with suppress(FileNotFoundError):
            yield attach_raw_tracepoint(program, name)


def attach_uprobe_multi(program: int, path: str, sites: NDArray[np.void], *, at_return: bool) -> Link:
    """Attach to many places (SITE) of one file with one link (Linux 6.6 and later).

    The program must have been loaded for UPROBE_MULTI. One bad place fails the whole link.
    """
    return _multi_link(program, UPROBE_MULTI, path, sites, _MULTI_RETURN if at_return else 0)


def attach_uprobe_session(program: int, path: str, sites: NDArray[np.void]) -> Link:
    """Attach to entries and returns of many functions (SITE) of one file with one link (Linux 6.13 and later).

    The program must have been loaded for UPROBE_SESSION. One bad place fails the whole link.
    """
    return _multi_link(program, UPROBE_SESSION, path, sites, 0)


def _multi_link(program: int, attach_type: int, path: str, sites: NDArray[np.void], flags: int) -> Link:
    name = ctypes.create_string_buffer(os.fsencode(path))
    offsets, cookies, semaphores = (np.ascontiguousarray(sites[name]) for name in ("offset", "cookie", "semaphore"))
    places = offsets.ctypes.data, semaphores.ctypes.data if semaphores.any() else 0, cookies.ctypes.data
    head = program, 0, attach_type, 0, ctypes.addressof(name)
    return Link(bpf(_LINK_CREATE, attributes("<IIIIQQQQIII4x", *head, *places, len(sites), flags, 0)))


def attach_uprobe(program: int, path: str, site: np.void, *, at_return: bool) -> Link:
    """Attach to one place (a row of SITE) of a file through a perf event, with the cookie (Linux 5.15 and later)."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    config = _return_bit("uprobe") if at_return else 0
    offset, cookie, semaphore = site.item()
    config |= semaphore << 32
    return _perf_link(program, _dynamic_event("uprobe", config, ctypes.addressof(name), offset), cookie)


def attach_kprobe(program: int, symbol: str, cookie: int) -> Link:
    """Attach to the entry of a kernel function through a perf event; for returns see `kprobe_events`."""
    name = ctypes.create_string_buffer(symbol.encode())
    return _perf_link(program, _dynamic_event("kprobe", 0, ctypes.addressof(name), 0), cookie)


def attach_tracepoint(program: int, category: str, event: str, cookie: int) -> Link:
    """Attach to a static tracepoint."""
    identity = int((mounted_tracefs() / "events" / category / event / "id").read_text())
    attributes = struct.pack("<IIQQQQ", _PERF_TYPE_TRACEPOINT, _PERF_ATTR_SIZE, identity, 1, 0, 0)
    return _perf_link(program, _perf_event_open(attributes), cookie)


def _dynamic_event(kind: str, config: int, config1: int, config2: int) -> int:
    event_type = int((_DEVICES / kind / "type").read_text())
    # type, size, config, sample_period, sample_type, read_format, flags, wakeup, bp_type, config1, config2
    head = struct.pack("<IIQQQQQIIQQ", event_type, _PERF_ATTR_SIZE, config, 0, 0, 0, 0, 0, 0, config1, config2)
    return _perf_event_open(head)


def _return_bit(kind: str) -> int:
    text = (_DEVICES / kind / "format/retprobe").read_text()  # config:0
    return 1 << int(text.strip().rpartition(":")[2])


def _perf_link(program: int, event: int, cookie: int) -> Link:
    try:
        link = bpf(_LINK_CREATE, attributes("<IIIIQ", program, event, _PERF_EVENT, 0, cookie))
    finally:
        os.close(event)  # the link has it: one descriptor for each place, not two
    return Link(link)


def allow_descriptors(count: int) -> None:
    """Let this process have this many descriptors, as far as the system lets it; each link is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        enough = hard == resource.RLIM_INFINITY or count <= hard
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard if enough else count))
        except (OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def read_iterator(program: int) -> bytes:
    """All that a loaded iterator program writes in one pass."""
    link = bpf(_LINK_CREATE, attributes("<IIII", program, 0, _TRACE_ITER, 0))
    try:
        iterator = bpf(_ITER_CREATE, attributes("<II", link, 0))
    finally:
        os.close(link)
    with open(iterator, "rb") as file:
        return file.read()

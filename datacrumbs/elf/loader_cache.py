"""The dynamic loader's cache, ``/etc/ld.so.cache``: which file a soname means. Of glibc from 2.2 on."""

from __future__ import annotations

import os
import struct
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.elf.witnesses import looked_at

if TYPE_CHECKING:
    from collections.abc import Mapping

CACHE = Path("/etc/ld.so.cache")
_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("=20sII")  # magic, number of entries, length of the strings; 20 more bytes
_HEADER_SIZE = 48
_ENTRY = struct.Struct("=iIIIQ")  # flags, soname, path, kernel, hardware
_LIMIT = 64 << 20


def read_loader_cache(file: Path = CACHE) -> Mapping[str, tuple[Path, ...]]:
    """Soname -> paths, the preferred one first; empty where there is no such file, or one of another form."""
    looked_at(file)
    try:
        state = file.stat()
        return _read(file, state.st_mtime_ns, state.st_size)
    except (OSError, struct.error, ValueError):
        return {}


@lru_cache(maxsize=8)
def _read(file: Path, _modified: int, _size: int) -> Mapping[str, tuple[Path, ...]]:
    with file.open("rb") as stream:
        data = stream.read(_LIMIT)
    begin = data.index(_MAGIC)  # a part of the older form may be before it
    _, number, _ = _HEADER.unpack_from(data, begin)
    entries = memoryview(data)[begin + _HEADER_SIZE :][: number * _ENTRY.size]
    cache: dict[str, tuple[Path, ...]] = {}
    for _, name, path, _, _ in _ENTRY.iter_unpack(entries):
        soname = _text(data, begin + name)
        cache[soname] = (*cache.get(soname, ()), Path(_text(data, begin + path)))
    return cache


def _text(data: bytes, place: int) -> str:
    return os.fsdecode(data[place : data.index(b"\0", place)])

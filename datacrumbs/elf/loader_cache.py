"""The dynamic loader's cache, ``/etc/ld.so.cache``: which file a soname means. Of glibc from 2.2 on."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.cache.inspected_files import looked_at
from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Mapping

CACHE = Path("/etc/ld.so.cache")
_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("=20sII")  # magic, number of entries, length of the strings; 20 more bytes
_HEADER_SIZE = 48
_ENTRY = struct.Struct("=iIIIQ")  # flags, soname, path, kernel, hardware
_LIMIT = 16 << 20  # a hundred times what hosts have
_NAME_LONGEST = 4096


def read_loader_cache(file: Path = CACHE) -> Mapping[str, tuple[Path, ...]]:
    """Soname -> paths, the preferred one first; empty where there is no such file, or one of another form.

    It may be of a container's image, so it may be anything.
    """
    looked_at(file)
    with suppress(OSError, DatacrumbsError, struct.error, ValueError):
        state = file.stat()
        return _read(file, state.st_mtime_ns, state.st_size)
    return {}


@lru_cache(maxsize=8)
def _read(file: Path, _modified: int, _size: int) -> Mapping[str, tuple[Path, ...]]:
    data = read_bounded(file, _LIMIT, follow=True)
    begin = data.index(_MAGIC)  # a part of the older form may be before it
    _, number, _ = _HEADER.unpack_from(data, begin)
    entries = memoryview(data)[begin + _HEADER_SIZE :][: number * _ENTRY.size]
    cache: dict[str, list[Path]] = {}
    kept = 0
    for _, name, path, _, _ in _ENTRY.iter_unpack(entries):
        soname, where = (_text(data, begin + place) for place in (name, path))
        kept += len(soname) + len(where)
        if kept > _LIMIT:  # entries may share their texts
            raise ValueError("too many names")
        cache.setdefault(soname, []).append(Path(where))
    return {soname: tuple(paths) for soname, paths in cache.items()}


def _text(data: bytes, place: int) -> str:
    return os.fsdecode(data[place : data.index(b"\0", place, place + _NAME_LONGEST)])

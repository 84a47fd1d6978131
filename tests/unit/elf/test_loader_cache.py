"""The dynamic loader's cache as `ldconfig -p` shows it, and files that are none."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from datacrumbs.elf.loader_cache import CACHE, read_loader_cache

LDCONFIG = shutil.which("ldconfig", path="/sbin:/usr/sbin")


def test_this_hosts_cache_is_what_ldconfig_shows() -> None:
    if LDCONFIG is None or not CACHE.exists():
        pytest.skip("no cache of glibc's loader")
    shown = subprocess.run([LDCONFIG, "-p"], check=True, capture_output=True, text=True, env={}).stdout
    expected: dict[str, tuple[Path, ...]] = {}
    for line in shown.splitlines():
        name, arrow, path = line.strip().partition(" => ")
        if arrow:
            soname = name.split(" ", 1)[0]
            expected[soname] = (*expected.get(soname, ()), Path(path))
    assert expected
    assert list(read_loader_cache().items()) == list(expected.items())


def made(*entries: tuple[str, str], number: int | None = None) -> bytes:
    strings = b"".join(f"{name}\0{path}\0".encode() for name, path in entries)
    place, rows = 48 + 24 * len(entries), b""
    for name, path in entries:
        rows += struct.pack("=iIIIQ", 0x303, place, place + len(name) + 1, 0, 0)
        place += len(name) + len(path) + 2
    header = struct.pack("=20sII", b"glibc-ld.so.cache1.1", len(entries) if number is None else number, len(strings))
    return header.ljust(48, b"\0") + rows + strings


def test_the_older_form_may_be_before_it(tmp_path: Path) -> None:
    for before in (b"", b"ld.so-1.7.0\0" + bytes(52)):
        file = tmp_path / f"cache{len(before)}"
        file.write_bytes(before + made(("liba.so.1", "/lib/liba.so.1"), ("liba.so.1", "/opt/liba.so.1")))
        assert read_loader_cache(file) == {"liba.so.1": (Path("/lib/liba.so.1"), Path("/opt/liba.so.1"))}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"glibc-ld.so.cache1.1",
        b"x" * 4096,
        made(("liba.so.1", "/lib/liba.so.1"))[:-1],
        made(("liba.so.1", "/lib/liba.so.1"))[:60],
        made(("liba.so.1", "/lib/liba.so.1"), number=7),
        made(("liba.so.1", "/lib/liba.so.1"), number=(1 << 32) - 1),
        made(("x" * 4096, "/lib/liba.so.1")),
        made(("liba.so.1", "/" + "x" * 4095)),
        made(*[("liba.so.1", "/lib/liba.so.1")] * 7) + bytes(16 << 20),
    ],
)
def test_what_is_no_cache_has_nothing_or_what_is_whole(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "cache"
    file.write_bytes(data)
    assert set(read_loader_cache(file)) <= {"liba.so.1"}
    assert read_loader_cache(tmp_path / "absent") == {}


def test_entries_that_share_their_texts_take_no_memory_without_bound(tmp_path: Path) -> None:
    file, number = tmp_path / "cache", 5003
    place = 48 + 24 * number
    row = struct.pack("=iIIIQ", 0x303, place, place, 0, 0)
    header = struct.pack("=20sII", b"glibc-ld.so.cache1.1", number, 4096).ljust(48, b"\0")
    file.write_bytes(header + row * number + b"x" * 4095 + b"\0")
    assert read_loader_cache(file) == {}


@pytest.mark.parametrize("kind", ["pipe", "directory", "endless"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "cache"
    {"pipe": lambda: os.mkfifo(file), "directory": file.mkdir, "endless": lambda: file.symlink_to("/dev/zero")}[kind]()
    assert read_loader_cache(file) == {}

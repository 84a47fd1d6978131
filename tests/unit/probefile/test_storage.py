"""Probe files that are not read: which are no regular file, too large, or not signed."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import zlib

import pytest

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.probefile.codec import encode
from datacrumbs.probefile.storage import read_probe_file, read_unverified

from .refusing import refused


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 100, -1, -8, -9])
def test_a_truncated_file(bench, now, length):
    data = bench.path.read_bytes()
    bench.path.write_bytes(data[:length])
    refused(bench, now, "cut short|not gzip")


def test_a_file_that_is_not_gzip(bench, now):
    bench.path.write_bytes(b"#!/bin/sh\nid\n" * 9)
    refused(bench, now, "not gzip")


def test_bytes_after_the_gzip_stream(bench, now):
    bench.path.write_bytes(bench.path.read_bytes() * 2)
    refused(bench, now, "bytes follow the gzip stream")


def test_an_unsigned_plan(bench, now):
    bench.path.write_bytes(gzip.compress(encode(bench.plan)))
    refused(bench, now, "not a probe file: ")


@pytest.mark.parametrize("unit", [b'{"a":', b"[", b"[],", b'"a":1,'])
def test_what_is_not_verified_takes_little_memory(bench, unit):
    """Up to 64 MiB of JSON in 100 KB: a parser would make gigabytes of objects of it."""
    head = b'{"payload":'
    bench.path.write_bytes(gzip.compress(head + unit * ((60 << 20) // len(unit))))
    code = (
        "import resource, sys, time\n"
        "from pathlib import Path\n"
        "from datacrumbs.errors import DatacrumbsError\n"
        "from datacrumbs.probefile.storage import read_probe_file\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    read_probe_file(Path(sys.argv[1]), Path(sys.argv[2]), now=time.time(), uid=None)\n"
        "except DatacrumbsError as error:\n"
        "    print(int(error.exit_code), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, bench.path, bench.trust], capture_output=True, text=True, check=True
    )
    status, mebibytes = map(int, done.stdout.split())
    assert status == ExitCode.REFUSED
    assert mebibytes < 160


def test_a_zip_bomb_is_refused_in_bounded_memory(bench, now):
    compressor = zlib.compressobj(9, wbits=31)
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(256)) + compressor.flush()
    assert len(bomb) < 1 << 20
    bench.path.write_bytes(bomb)
    refused(bench, now, "expands to more than 67108864 bytes")


def test_a_file_that_is_too_large(bench, now):
    with bench.path.open("r+b") as stream:
        stream.truncate((16 << 20) + 1)
    refused(bench, now, "larger than 16777216 bytes")


def test_a_symbolic_link(bench, now, tmp_path):
    real = tmp_path / "real"
    bench.path.rename(real)
    bench.path.symlink_to(real)
    refused(bench, now, "a symbolic link")


def test_a_fifo_does_not_block(bench, now):
    bench.path.unlink()
    os.mkfifo(bench.path)
    refused(bench, now, "not a regular file")


def test_a_directory_and_a_device(bench, now):
    bench.path.unlink()
    bench.path.mkdir()
    refused(bench, now, "not a regular file")
    bench.path.rmdir()
    with pytest.raises(DatacrumbsError, match="not a regular file"):
        read_probe_file(bench.path.__class__("/dev/zero"), bench.trust, now=now, uid=None)


def test_a_missing_file_is_a_mistake_of_the_command_line(bench, now):
    bench.path.unlink()
    with pytest.raises(DatacrumbsError, match="No such file") as caught:
        read_probe_file(bench.path, bench.trust, now=now, uid=None)
    assert caught.value.exit_code == ExitCode.USAGE


def test_unverified_reading_says_so(bench):
    bench.key_file.unlink()
    assert not read_unverified(bench.path).verified

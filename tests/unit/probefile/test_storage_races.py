"""A probe file that its owner changes while root reads it."""

from __future__ import annotations

import threading
import time

from datacrumbs.errors import DatacrumbsError
from datacrumbs.probefile.codec import digest, encode
from datacrumbs.probefile.storage import read_probe_file


def test_a_file_written_over_while_it_is_read_is_the_signed_one_or_refused(bench, now):
    good = bench.path.read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    stop = threading.Event()

    def write_over():
        with bench.path.open("r+b") as stream:
            while not stop.is_set():
                for content in (bytes(bad), good, good[: len(good) // 2]):
                    stream.seek(0)
                    stream.truncate()
                    stream.write(content)
                    stream.flush()

    writer = threading.Thread(target=write_over)
    writer.start()
    outcomes = set()
    end = time.monotonic() + 2
    try:
        while time.monotonic() < end:
            try:
                outcomes.add(read_probe_file(bench.path, bench.trust, now=now, uid=1000).digest)
            except DatacrumbsError as error:
                outcomes.add(f"exit {error.exit_code}")
    finally:
        stop.set()
        writer.join()
    assert outcomes == {digest(encode(bench.plan)), "exit 3"}

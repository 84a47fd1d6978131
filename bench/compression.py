#!/usr/bin/env python3
"""Compare compressors of a trace, on records of real programs; the decision is docs/design/0004-trace-writing.md.

Programs run under the product's engine. What its writer then asked the library in C for is kept, and repeated with
each compressor: with the product's own encoder, and with the same library without it, whose text another compressor
takes. All make the same lines in the same gzip members. Compressors that are not installed are left out; for all of
them, `pip install isal deflate zlib-ng`.

    sudo python bench/compression.py [--quick] [--json FILE]
"""

from __future__ import annotations

import ctypes
import gzip
import time
import zlib
from ctypes import c_uint8
from statistics import median
from typing import TYPE_CHECKING, Any

from _capture import Recording, record
from _figures import ratio
from _harness import PROGRAMS, build_trace_library, tell, workplace
from _result import Result, Table, measure
from _workloads import workloads

from datacrumbs.configure import Selection, compose, current_host, default_site_file, read_site_file
from datacrumbs.plugins import load_providers
from datacrumbs.trace.lines import Lines, load_library

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OURS = "own encoder"
NOTHING = "no compression"
AT_LEAST_SECONDS = 0.05
TEXT = """\
Processor time of making a trace's gzip members from captured records, in the thread that does it: rendering,
compression and checksum, not resolving names. In each round the compressors take turns. `ns` is per call: of the
fastest round, and the median. `time of own` is the median, over the rounds, of the time divided by that of the own
encoder in the same round. `bytes` are those of a call in the file, and `bytes of own` divided by the own encoder's."""


class TextLines(Lines):
    """The lines of the same library without its encoder, compressed by something else."""

    def __init__(self, library: ctypes.CDLL, compress: Callable[[Any], bytes], functions: int) -> None:
        super().__init__(functions, 0, filtering=False)
        self._library = library  # of the same structures
        self._compress = compress

    def member(self) -> bytes:
        text = (c_uint8 * self.size).from_address(self._library.dc_lines_content(self._lines))
        member = self._compress(text)
        self._library.dc_lines_begin(self._lines)
        return member


def compressors() -> dict[str, Callable[[Any], bytes]]:
    """Those that are here, by name and level; each gives a gzip member."""
    found: dict[str, Callable[[Any], bytes]] = {NOTHING: lambda _: b""}
    try:
        from isal import igzip_lib  # noqa: PLC0415 -- each is measured where it is there
    except ImportError:
        tell("no isal: pip install isal")
    else:
        for level in range(4):
            found[f"ISA-L {level}"] = lambda text, level=level: igzip_lib.compress(text, level, igzip_lib.COMP_GZIP)
    try:
        import deflate  # noqa: PLC0415
    except ImportError:
        tell("no libdeflate: pip install deflate")
    else:
        for level in range(1, 7):
            found[f"libdeflate {level}"] = lambda text, level=level: deflate.gzip_compress(text, level)
    try:
        from zlib_ng import zlib_ng  # noqa: PLC0415
    except ImportError:
        tell("no zlib-ng: pip install zlib-ng")
    else:
        found["zlib-ng 1"] = lambda text: zlib_ng.compress(text, 1, 31)
    found["zlib 1"] = lambda text: zlib.compress(text, 1, 31)
    return found


def without_encoder(directory: Path) -> ctypes.CDLL:
    """The product's library, with nothing in place of its encoder."""
    library = ctypes.CDLL(str(build_trace_library(directory, PROGRAMS / "uncompressed.c")))
    for name, known in vars(load_library()).items():
        if name.startswith("dc_lines_"):
            function = getattr(library, name)
            function.restype, function.argtypes = known.restype, known.argtypes
    return library


def candidates(library: ctypes.CDLL) -> dict[str, Callable[[int], Lines]]:
    """What makes members, by a name."""
    made: dict[str, Callable[[int], Lines]] = {OURS: lambda functions: Lines(functions, 0, filtering=False)}
    for name, compress in compressors().items():
        made[name] = lambda functions, compress=compress: TextLines(library, compress, functions)
    return made


class Comparison:
    """All candidates on the records of one program."""

    def __init__(self, recording: Recording, makers: dict[str, Callable[[int], Lines]], rounds: int) -> None:
        self.calls = recording.calls
        made = {name: recording.replay(maker(recording.functions)) for name, maker in makers.items()}
        self.members = len(made[OURS])
        self.sizes = {name: sum(map(len, members)) for name, members in made.items()}
        texts = [gzip.decompress(member) for member in made[OURS]]
        for name, members in made.items():
            if name != NOTHING and any(gzip.decompress(one) != text for one, text in zip(members, texts, strict=True)):
                raise SystemExit(f"{name}: not the same text")
        self.nanoseconds: dict[str, list[float]] = {name: [] for name in makers}
        repetitions = max(1, round(AT_LEAST_SECONDS / max(self._seconds(recording, makers[OURS]), 1e-4)))
        for _ in range(rounds):
            for name, maker in makers.items():
                taken = sum(self._seconds(recording, maker) for _ in range(repetitions))
                self.nanoseconds[name].append(taken / repetitions / self.calls * 1e9)

    def rows(self) -> list[list[str]]:
        mine = self.nanoseconds[OURS]
        return [
            [
                name,
                f"{min(taken):.0f}",
                f"{median(taken):.0f}",
                f"{ratio(taken, mine):.2f}",
                f"{self.sizes[name] / self.calls:.1f}",
                f"{self.sizes[name] / self.sizes[OURS]:.2f}",
            ]
            for name, taken in self.nanoseconds.items()
        ]

    @staticmethod
    def _seconds(recording: Recording, maker: Callable[[int], Lines]) -> float:
        lines = maker(recording.functions)
        begin = time.thread_time()
        recording.replay(lines)
        return time.thread_time() - begin


def take(quick: bool) -> Result:
    rounds = 3 if quick else 5
    site, selection = read_site_file(default_site_file()), Selection()
    plan = compose(site, load_providers(), current_host(), selection)
    tables, figures = [], {}
    with workplace() as place:
        makers = candidates(without_encoder(place))
        for workload in workloads(place, scale=1 if quick else 5):
            tell(f"compression: {workload.title}")
            made = Comparison(record(plan, workload), makers, rounds)
            title = f"{workload.title}: {made.calls:,} calls, {made.members} members"
            tables.append(
                Table(title, ["", "ns, least", "ns, median", "time of own", "bytes", "bytes of own"], made.rows())
            )
            figures[workload.title] = {"calls": made.calls, "sizes": made.sizes, "nanoseconds": made.nanoseconds}
    return Result("compression", "Compressors of a trace", TEXT, tables, [], figures)


if __name__ == "__main__":
    measure(take, __doc__)

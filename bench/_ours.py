"""The daemon as a tracer among others."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from _daemon import WRAP, daemon

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from _tracer import Work

    from datacrumbs.testing import Installation

BYSTANDER = ", not traced"
_SETTLE_SECONDS = 10.0


class Ours:
    """The daemon with the functions of a probe file, around a program that it traces or that only runs beside it."""

    available = True

    def __init__(self, site: Installation, probes: Path, name: str) -> None:
        self.name = name
        self.traced = True
        self.total = Counter[str]()
        self._site, self._probes = site, probes

    @contextlib.contextmanager
    def attached(self, work: Work) -> Iterator[None]:
        del work
        with daemon(self._site, self._probes) as self._daemon:
            yield
        self.counts = self._daemon.counts()
        self.size = self._daemon.bytes_on_disk()
        self.total += Counter(entered=self.counts.entered, lost=self.counts.lost)
        for trace in self._daemon.traces():
            trace.unlink()

    def command(self, command: Sequence[str | Path]) -> list[str | Path]:
        self._daemon.settle(_SETTLE_SECONDS)
        return [WRAP, *command] if self.traced else list(command)

    def seen(self) -> int | None:
        return self.counts.recorded

"""What could not be probed on a node and never can be there, as a trace's provenance has it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError
from datacrumbs.trace.footer import PROVENANCE
from datacrumbs.trace.members import TraceText

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MOST = 256
"""Functions of a run that its trace names."""
_MOST_READ, _LONGEST_LINE, _LONGEST_REASON = 65_536, 1 << 20, 200
"""Bounds on what is believed of traces, which may be another's: functions, bytes, characters."""
_WORDS = "not attached"
_KEY = re.compile(
    rf"{_WORDS} (?P<attach>[a-z]+) (?P<build_id>\S+) 0x(?P<offset>[0-9a-f]{{1,16}}) (?P<symbol>.+)", re.DOTALL
)


@dataclass(frozen=True, slots=True, order=True)
class Unattached:
    """A function of a plan that the kernel refused to probe.

    Args:
        build_id: Of its file; the release of a kernel.
        attach: In which way.
        symbol: Its symbol.
        offset: Its place in the file.
    """

    build_id: str
    attach: str
    symbol: str
    offset: int

    @property
    def key(self) -> str:
        """In the provenance."""
        return f"{_WORDS} {self.attach} {self.build_id} {self.offset:#x} {self.symbol}"


def unattached_entries(failed: Mapping[Unattached, str]) -> dict[str, str]:
    """Keys and texts for the provenance, of the first `MOST`, each with the reason."""
    return {each.key: failed[each] for each in islice(sorted(failed), MOST)}


def read_unattached(provenance: Mapping[str, object]) -> dict[Unattached, str]:
    """What a provenance says: the functions, each with the kernel's release and the reason in words."""
    found = {}
    for key, reason in provenance.items():
        if parts := _KEY.fullmatch(key):
            each = Unattached(parts["build_id"], parts["attach"], parts["symbol"], int(parts["offset"], 16))
            found[each] = f"kernel {provenance.get('kernel')}: {reason}"[:_LONGEST_REASON]
    return found


def unattached_in(traces: Iterable[Path]) -> dict[Unattached, str]:
    """What could not be probed in the runs of these traces. Other lines of them are not parsed.

    Raises:
        DatacrumbsError: For a file that cannot be read, or too many functions.
    """
    found: dict[Unattached, str] = {}
    mark = f'"{PROVENANCE}"'.encode()
    for path in traces:
        for chunk in TraceText(path).chunks():
            if mark in chunk:
                for line in chunk.splitlines():
                    found |= _of_line(line) if mark in line and len(line) <= _LONGEST_LINE else {}
            if len(found) > _MOST_READ:
                problem = f"{path}: with those before it, more than {_MOST_READ:,} functions that could not be probed"
                raise DatacrumbsError(problem, hint="name fewer traces")
    return found


def _of_line(line: bytes) -> dict[Unattached, str]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    arguments = document.get("args") if isinstance(document, dict) and document.get("name") == PROVENANCE else None
    return read_unattached(arguments) if isinstance(arguments, dict) else {}

"""What could not be probed on a node and never can be there, as a trace's provenance has it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, refusal
from datacrumbs.secure.file_systems import is_served_by_user
from datacrumbs.trace.footer import PROVENANCE
from datacrumbs.trace.members import TraceText

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import BinaryIO

MOST = 256
"""Functions of a run that its trace names."""
_MOST_READ, _LONGEST_LINE, _LONGEST_REASON = 65_536, 1 << 20, 200
"""Bounds on what is believed of traces, which may be another's: functions, bytes, characters."""
_WORDS = "not attached"
_PROVIDER = "provider "
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


@dataclass(frozen=True, slots=True)
class Failure:
    """That a function could not be probed in a run.

    Args:
        reason: Why, and on which node and kernel, in words.
        trace: Which says it.
        providers: Name -> version of the providers by which that run's plan was made.
    """

    reason: str
    trace: str = ""
    providers: Mapping[str, str] = field(default_factory=dict)


def unattached_entries(failed: Mapping[Unattached, str]) -> dict[str, str]:
    """Keys and texts for the provenance, of the first `MOST`, each with the reason."""
    return {each.key: failed[each] for each in islice(sorted(failed), MOST)}


def read_unattached(provenance: Mapping[str, object], trace: Path) -> dict[Unattached, Failure]:
    """What the provenance of a trace says."""
    where = f"on {provenance['host']}, " if "host" in provenance else ""
    providers = {
        key.removeprefix(_PROVIDER): str(version) for key, version in provenance.items() if key.startswith(_PROVIDER)
    }
    found = {}
    for key, reason in provenance.items():
        if parts := _KEY.fullmatch(key):
            each = Unattached(parts["build_id"], parts["attach"], parts["symbol"], int(parts["offset"], 16))
            words = f"{where}kernel {provenance.get('kernel')}: {reason}"[:_LONGEST_REASON]
            found[each] = Failure(words, str(trace), providers)
    return found


def unattached_in(traces: Iterable[Path]) -> dict[Unattached, Failure]:
    """What could not be probed in the runs of these traces. Other lines of them are not parsed.

    Who wrote a trace decides what a plan lacks: it has to be this process's user, or root.

    Raises:
        DatacrumbsError: For a file that cannot be read, or too many functions; (exit 3) for another user's trace.
    """
    found: dict[Unattached, Failure] = {}
    mark = f'"{PROVENANCE}"'.encode()
    for path in traces:
        for chunk in TraceText(path).chunks(partial(check_owner, path)):
            if mark in chunk:
                for line in chunk.splitlines():
                    found |= _of_line(line, path) if mark in line and len(line) <= _LONGEST_LINE else {}
            if len(found) > _MOST_READ:
                problem = f"{path}: with those before it, more than {_MOST_READ:,} functions that could not be probed"
                raise DatacrumbsError(problem, hint="name fewer traces")
    return found


def check_owner(path: Path, stream: BinaryIO) -> None:
    if os.fstat(stream.fileno()).st_uid not in {0, os.geteuid()} or is_served_by_user(stream.fileno()):
        raise refusal(
            f"{path}: another user's trace, which could leave any function out of your plan",
            "name traces of your own or of root's",
        )


def _of_line(line: bytes, path: Path) -> dict[Unattached, Failure]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    arguments = document.get("args") if isinstance(document, dict) and document.get("name") == PROVENANCE else None
    return read_unattached(arguments, path) if isinstance(arguments, dict) else {}

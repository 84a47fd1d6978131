"""Which form a file is written in: the ending of its name says so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.errors import usage_error
from datacrumbs.report.exports import perfetto, rows, stacks
from datacrumbs.secure.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.trace.dataframes import pl
    from datacrumbs.trace.reader import Traces

COMPRESSED = ".pftrace.gz"
FORMS: dict[str, Callable[[Traces, pl.LazyFrame, Path], None]] = {
    ".parquet": rows.write_parquet,
    ".csv": rows.write_csv,
    ".pftrace": perfetto.write,
    COMPRESSED: perfetto.write_compressed,
    ".speedscope.json": stacks.write_speedscope,
    ".collapsed": stacks.write_collapsed,
}
"""Ending of a file's name -> what writes it."""
WITH_ARGUMENTS = frozenset({".parquet", ".csv"})
"""Those for which traces are to be read with their details."""


def export(traces: Traces, calls: pl.LazyFrame, place: Path) -> None:
    """Write calls to a file, which is there when it is whole and not before.

    Args:
        traces: Where they come from.
        calls: Those to be in it.
        place: The file.

    Raises:
        DatacrumbsError: (exit 1) when the file cannot be written.
    """
    write = FORMS[ending(place)]
    with replacing(place, 0o666) as stream:
        # By the open file, whatever is at its name by now.
        write(traces, calls, Path(f"/proc/self/fd/{stream.fileno()}"))


def ending(place: Path) -> str:
    """The form that a file's name asks for.

    Raises:
        DatacrumbsError: (exit 2) for a name without one, and for a place that is no regular file.
    """
    found = next((each for each in FORMS if place.name.endswith(each) and place.name != each), None)
    if found is None:
        raise usage_error(f"--export {place}: unknown form; expected a name that ends in {', '.join(FORMS)}")
    if place.exists() and not place.is_file():
        raise usage_error(f"--export {place}: exists and is not a regular file")
    return found

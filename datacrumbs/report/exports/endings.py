"""Which form a file is written in: the ending of its name says so."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.report.exports import perfetto, rows, stacks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datacrumbs.trace.dataframes import pl
    from datacrumbs.trace.reader import Traces

FORMS: dict[str, Callable[[Traces, pl.LazyFrame, Path], None]] = {
    ".parquet": rows.write_parquet,
    ".csv": rows.write_csv,
    ".pftrace": perfetto.write,
    ".pftrace.gz": perfetto.write_compressed,
    ".speedscope.json": stacks.write_speedscope,
    ".collapsed": stacks.write_collapsed,
}
"""Ending of a file's name -> what writes it."""


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
    temporary = place.with_name(f".{place.name[:200]}.{secrets.token_hex(8)}")
    try:
        temporary.touch(exist_ok=False)
        write(traces, calls, temporary)
        temporary.rename(place)
    except OSError as error:
        raise DatacrumbsError(f"{place}: cannot be written: {error.strerror or error}; nothing was written") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


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

"""Tables from traces."""

from __future__ import annotations

VIEWS: tuple[str, ...] = (
    "function",
    "file",
    "directory",
    "series",
    "filesystem",
    "channel",
    "process",
    "rank",
    "node",
    "layer",
)
VIEWS += ("size", "time", "error")
"""What a row of a table can be."""
PATTERN = "pattern"
"""A row per file and direction, with the order of its requests."""
FILES_SHOWN = 10
"""Rows of the table of files beside that of functions, unless asked otherwise."""
REGRESSION = "regression"
"""What ``--fail-on`` calls a function that takes more time than before."""
PHASES = 24
"""Parts of equal length into which a run is divided."""
FILES_OF_PAGE = 5000
"""Rows of the table of files in a page, and how many files of a run have their durations kept."""

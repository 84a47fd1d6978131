"""Files taken together: by their directory, by names that differ in numbers alone, by the type of their file system."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from datacrumbs.report.mounted import FILE_SYSTEM, with_file_systems
from datacrumbs.report.node_files import by_node
from datacrumbs.trace.columns import WORD
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from datacrumbs.trace.reader import Traces

Frame = TypeVar("Frame", pl.LazyFrame, pl.DataFrame)

UNKNOWN = "not known"
_ENDING = r"\.[A-Za-z][A-Za-z0-9]*$"
_STEM, _TYPE = pl.col("path").str.replace(_ENDING, ""), pl.col("path").str.extract(f"({_ENDING})").fill_null("")
GROUPS = {
    "directory": pl.col("path").str.extract(r"^(.*)/[^/]*$").replace("", "/").fill_null("."),
    "series": pl.concat_str(_STEM.str.replace_all(r"[0-9]+", "#"), _TYPE),
    FILE_SYSTEM: pl.col(FILE_SYSTEM),
}
"""View -> the group of a file, of its name or its file system."""


def with_groups(traces: Traces, frame: Frame, view: str) -> Frame:
    """Calls or profiles with the column ``view``, the group of each one's file; all files of a group are one.

    Args:
        traces: Where they come from.
        frame: With the columns trace, fhash and path, of calls on files.
        view: Of `GROUPS`.

    Returns:
        The frame with the group in the column ``view``, and for ``fhash`` the same value in each row of a group.
    """
    files = frame.lazy().select("trace", "fhash", "path").unique().collect(engine="streaming")
    files = with_file_systems(traces, files) if view == FILE_SYSTEM else by_node(traces, files, channels=False)
    grouped = files.with_columns(GROUPS[view].fill_null(UNKNOWN).alias(view))
    named = pl.col("fhash").cast(pl.String).min().over(view).cast(files.schema["fhash"])
    groups = grouped.select("trace", "fhash", pl.col(view).cast(WORD), named.alias("group"))
    one = (pl.col("group").alias("fhash"), pl.col(view))
    if isinstance(frame, pl.LazyFrame):
        return frame.join(groups.lazy(), on=["trace", "fhash"], how="left").with_columns(one).drop("group")
    return frame.join(groups, on=["trace", "fhash"], how="left").with_columns(one).drop("group")

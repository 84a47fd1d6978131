"""Files of several nodes: what is called the same on two of them is one file only where they share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from datacrumbs.report.mounted import by_mount
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from datacrumbs.trace.reader import TraceFile, Traces


Frame = TypeVar("Frame", pl.LazyFrame, pl.DataFrame)


def by_node(traces: Traces, frame: Frame, *, channels: bool) -> Frame:
    """The frame with ``NODE:`` before each path that is of one node alone, where the traces are of several nodes.

    Args:
        traces: Whose heads say which directories are local.
        frame: With the columns trace and path.
        channels: Whether its names are those of pipes and the like, which no two nodes share.
    """
    if len({file.host for file in traces.files}) < 2 and not traces.several_nodes:
        return frame
    path = pl.col("path")
    for position, file in enumerate(traces.files):
        local = pl.lit(value=True) if channels else by_mount(_local(file), pl.Boolean)
        of_node = (pl.col("trace") == position) & local
        path = pl.when(of_node).then(pl.lit(f"{file.host}:") + pl.col("path")).otherwise(path)
    return frame.with_columns(path.alias("path"))


def _local(file: TraceFile) -> dict[str, bool]:
    return {point: mount.local for point, mount in file.mounts.items()}

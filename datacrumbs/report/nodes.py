"""Files of several nodes: what is called the same on two of them is one file only where they share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.mounts import local_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacrumbs.trace.reader import Traces


Frame = TypeVar("Frame", pl.LazyFrame, pl.DataFrame)


def by_node(traces: Traces, frame: Frame, *, channels: bool) -> Frame:
    """The frame with ``NODE:`` before each path that is of one node alone, where the traces are of several nodes.

    Args:
        traces: Whose heads say which directories are local.
        frame: With the columns trace and path.
        channels: Whether its names are those of pipes and the like, which no two nodes share.
    """
    if len({file.host for file in traces.files}) < 2:
        return frame
    path = pl.col("path")
    for position, file in enumerate(traces.files):
        local = pl.lit(value=True) if channels else _is_local(file.mounts)
        of_node = (pl.col("trace") == position) & local
        path = pl.when(of_node).then(pl.lit(f"{file.host}:") + pl.col("path")).otherwise(path)
    return frame.with_columns(path.alias("path"))


def _is_local(mounts: Mapping[str, bool]) -> pl.Expr:
    path = pl.col("path") + "/"
    found = pl.lit(value=False)
    for beginning, local in reversed(list(local_order(mounts))):
        found = pl.when(path.str.starts_with(beginning)).then(pl.lit(value=local)).otherwise(found)
    return found

"""Files of several nodes: what is called the same on two of them is one file only where they share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from datacrumbs.report.mounted import by_mount
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.mounts import differing

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    names = {position: f"{file.host}:" for position, file in enumerate(traces.files)}
    node = pl.col("trace").cast(pl.Int64).replace_strict(names, return_dtype=pl.String)
    is_local = pl.lit(value=True) if channels else _on_local_files(traces.files)
    path = pl.when(is_local).then(node + pl.col("path")).otherwise("path")
    return frame.with_columns(path.alias("path"))


# Nodes of one kind have the same directories, but for what is mounted in local ones: these are looked at once for all,
# or the time would grow with the square of the number of nodes.
def _on_local_files(files: Sequence[TraceFile]) -> pl.Expr:
    alike: dict[frozenset[tuple[str, bool]], list[int]] = {}
    for position, file in enumerate(files):
        local = frozenset(differing({point: mount.local for point, mount in file.mounts.items()}).items())
        alike.setdefault(local, []).append(position)
    of_node = pl.lit(value=False)
    for local, positions in alike.items():
        of_node |= pl.col("trace").is_in(positions) & by_mount(dict(local), pl.Boolean)
    return of_node

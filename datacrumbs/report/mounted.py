"""On which file system the files of a trace are, by the mounts that the trace names."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, TypeVar

from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.mounts import differing, value_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datacrumbs.trace.reader import Traces

    Value = str | int | None

FILE_SYSTEM = "filesystem"
"""Column that `with_file_systems` adds."""

Frame = TypeVar("Frame", pl.LazyFrame, pl.DataFrame)
_PLACE = ["trace", "fhash"]


def with_file_systems(traces: Traces, frame: Frame) -> Frame:
    """The frame with the column ``filesystem``: the type of that of each row's file, such as ``ext4`` or ``nfs4``.

    Null where a row has no file, where it is no path (a pipe, a socket), and where the trace does not say.

    Args:
        traces: Whose heads have the mounts.
        frame: With the columns trace and fhash.
    """
    schema = frame.lazy().collect_schema()
    columns = [pl.col("fhash").cast(schema["fhash"]), pl.col(FILE_SYSTEM).cast(pl.String)]
    parts = [
        traces.paths.select(
            pl.lit(position, schema["trace"]).alias("trace"),
            "fhash",
            by_mount({point: mount.kind or None for point, mount in file.mounts.items()}, pl.String).alias(FILE_SYSTEM),
        )
        for position, file in enumerate(traces.files)
    ]
    kinds = pl.concat(parts).with_columns(columns)
    if isinstance(frame, pl.LazyFrame):
        return frame.join(kinds.lazy(), on=_PLACE, how="left")
    return frame.join(kinds, on=_PLACE, how="left")


def by_mount(values: Mapping[str, Value], kind: type[pl.DataType]) -> pl.Expr:
    """What belongs to the column ``path``, by the longest mount point that it is below; null if there is none.

    A path is looked up once however many rows have it, in a time that does not grow with the number of mounts.

    Args:
        values: Mount point -> its value.
        kind: Of the values.
    """
    kept = differing(values)

    def looked_up(paths: pl.Series) -> pl.Series:
        names = paths.unique().drop_nulls()
        of_directory = cache(partial(value_at, mounts=kept))
        found = pl.Series([_of_file(name, kept, of_directory) for name in names], dtype=kind)
        return paths.replace_strict(names, found, default=None, return_dtype=kind)

    return pl.col("path").cast(pl.String).map_batches(looked_up, return_dtype=kind(), is_elementwise=True)


# Files are many, the directories that they are in few.
def _of_file(path: str, values: Mapping[str, Value], of_directory: Callable[[str], Value]) -> Value:
    place = path.rstrip("/")
    return values[place] if place in values else of_directory(place.rpartition("/")[0] or path[:1])

"""The calls of one run, as rules look at them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.report.findings.positions import KINDS, with_positions
from datacrumbs.report.intervals import fresh
from datacrumbs.report.parents import with_parents
from datacrumbs.report.views import CHANNEL
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = {
    "read": ("read", "readv", "pread", "preadv", "preadv2", "pread64"),
    "write": ("write", "writev", "pwrite", "pwritev", "pwritev2", "pwrite64"),
    "open": ("open", "openat", "openat2", "creat", "mkstemp", "mkostemp", "mkstemps", "mkostemps"),
    "close": ("close",),
    "seek": ("lseek", "llseek"),
    "sync": ("fsync", "fdatasync", "sync_file_range", "syncfs", "msync"),
    "dup": ("dup", "dup2", "dup3"),
    "takes": ("sendfile", "splice", "copy_file_range"),
    "metadata": (
        *("stat", "lstat", "fstat", "fstatat", "statx", "statfs", "fstatfs", "access", "faccessat", "readdir"),
        *("mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "link", "linkat", "symlink"),
        *(
            "symlinkat",
            "readlink",
            "readlinkat",
            "chmod",
            "fchmod",
            "fchmodat",
            "chown",
            "fchown",
            "fchownat",
            "lchown",
        ),
        *("truncate", "ftruncate", "utime", "utimes", "utimensat", "futimens", "getxattr", "lgetxattr", "fgetxattr"),
        *("setxattr", "fsetxattr", "listxattr", "opendir", "fdopendir", "closedir", "mknod", "mknodat", "fallocate"),
    ),
}
KIND_OF = {name: kind for kind, names in _NAMES.items() for name in names}
"""Function -> what it does to a file."""
NO_FILE = r"^/dev/(?:null|zero|full|u?random)$|^/proc/"
"""Names of files that no storage is behind of."""
LIBRARIES = ("STDIO", "HDF5", "MPIIO")
"""Categories whose calls are input and output also where they are on no file by name."""
THREAD = ("process", "tid")
NO_PATH = (1 << 31) - 1


class RunCalls:
    """The calls of one run.

    Attributes:
        calls: See `datacrumbs.provider.Evidence`.
        places: Of each process (position of its trace, pid).
        ranks: Process -> its rank, where that is known.
    """

    def __init__(self, calls: pl.DataFrame, places: list[tuple[int, int]], ranks: Mapping[int, int]) -> None:
        self.calls = calls
        self.places = places
        self.ranks = ranks

    @cached_property
    def border(self) -> str:
        """The category of the calls at the border to the kernel: system calls, else those that libc makes for them."""
        kinds = self.calls.filter(pl.col("category").cast(pl.String) == "SYS").select(
            _kind("name").is_in(["read", "write"])
        )
        return "SYS" if bool(kinds.to_series().any()) else "POSIX"

    @cached_property
    def requests(self) -> pl.DataFrame:
        """See `datacrumbs.provider.Evidence`."""
        at_border = self.calls.filter(pl.col("category").cast(pl.String) == self.border)
        kinds = at_border.with_columns(_kind("name").alias("kind")).filter(pl.col("kind").is_not_null())
        paths = pl.col("path").to_physical().cast(pl.Int64).fill_null(NO_PATH).alias("path_number")
        placed = with_positions(kinds.with_columns(paths)).drop("path_number")
        return placed.filter(self._on_files, ~pl.col("kind").is_in(["dup", "takes"]))

    @cached_property
    def nested(self) -> pl.DataFrame:
        """See `datacrumbs.provider.Evidence`."""
        return with_parents(self.calls, THREAD)

    @cached_property
    def io_us(self) -> Mapping[int, int]:
        """Process -> time in calls that are input or output on files, once for each thread and microsecond."""
        library = pl.col("category").cast(pl.String).is_in(LIBRARIES)
        end = pl.col("ts") + pl.col("dur")
        timed = self.calls.filter(self._on_files | library, pl.col("dur") > 0).select(
            "process", "tid", "ts", end.alias("end")
        )
        if timed.is_empty():
            return {}
        timed = timed.sort("process", "tid", "ts")
        thread = timed.select(pl.struct(THREAD).rle_id().alias("thread"))["thread"].to_numpy()
        own = fresh(thread.astype(np.int64), timed["ts"].to_numpy(), timed["end"].to_numpy())
        sums = timed.select("process", pl.Series("own", own)).group_by("process").agg(pl.col("own").sum())
        return dict(sums.iter_rows())

    # Paths are few, so what they are is looked up once for each.
    @cached_property
    def _on_files(self) -> pl.Expr:
        paths = self.calls.select("path", pl.col("path").to_physical().alias("code")).unique().drop_nulls()
        text = pl.col("path").cast(pl.String)
        files = paths.filter(~text.str.contains(CHANNEL), ~text.str.contains(NO_FILE))["code"]
        return pl.col("path").to_physical().is_in(files.implode())


def _kind(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).replace_strict(KIND_OF, default=None, return_dtype=pl.Enum(KINDS))

"""The calls of one run, as rules look at them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.report.alike_rows import AlikeRows, sequence
from datacrumbs.report.findings.positions import KINDS, with_positions
from datacrumbs.report.intervals import fresh
from datacrumbs.report.parents import with_parents
from datacrumbs.report.views import CHANNEL
from datacrumbs.trace.columns import by_code
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

    def prepare(self) -> None:
        """Find out what each rule, or each finding, needs."""
        _ = self.requests, self.io_us

    @cached_property
    def border(self) -> str:
        """The category of the calls at the border to the kernel: system calls, else those that libc makes for them."""
        functions = self.calls.lazy().filter(pl.col("category") == "SYS").select(pl.col("name").unique()).collect()
        kinds = functions.select(_kind("name").is_in(["read", "write"]))
        return "SYS" if bool(kinds.to_series().any()) else "POSIX"

    @cached_property
    def requests(self) -> pl.DataFrame:
        """See `datacrumbs.provider.Evidence`."""
        names = self.calls["name"].unique()
        kind = by_code(names, names.to_frame().select(_kind("name")).to_series(), self.calls["name"])
        at_border = (self.calls["category"] == self.border) & kind.is_not_null()
        kinds = self.calls.filter(at_border).with_columns(kind.filter(at_border).alias("kind"))
        paths = pl.col("path").to_physical().cast(pl.Int64).fill_null(NO_PATH).alias("path_number")
        placed = with_positions(kinds.with_columns(paths)).drop("path_number")
        return placed.filter(on_files(placed)[0], ~pl.col("kind").is_in(["dup", "takes"]))

    @cached_property
    def nested(self) -> pl.DataFrame:
        """See `datacrumbs.provider.Evidence`."""
        return with_parents(self.calls, THREAD)

    @cached_property
    def io_us(self) -> Mapping[int, int]:
        """Process -> time in calls that are input or output on files, once for each thread and microsecond."""
        files, others = on_files(self.calls)
        library = pl.any_horizontal(pl.col("category") == each for each in LIBRARIES) & ~others
        timed = self.calls.lazy().filter(files | library, pl.col("dur") > 0)
        rows = timed.select("process", "tid", "ts", (pl.col("ts") + pl.col("dur")).alias("end")).collect()
        if rows.is_empty():
            return {}
        begins, ends = rows["ts"].to_numpy(), rows["end"].to_numpy()
        thread = AlikeRows([rows[name].to_numpy() for name in THREAD])
        order = sequence(begins, thread.numbers, thread.count)
        own = fresh(thread.numbers[order].astype(np.int64), begins[order], ends[order])
        sums = pl.DataFrame({"process": rows["process"].to_numpy()[order], "own": own}).group_by("process").sum()
        return dict(sums.iter_rows())


def on_files(calls: pl.DataFrame) -> tuple[pl.Expr, pl.Expr]:
    """Which of some calls are on files, and which are on what is none. Calls that name nothing are neither."""
    # Paths are few, so what they are is looked up once for each.
    paths = calls.select(pl.col("path").unique()).drop_nulls()
    text = pl.col("path").cast(pl.String)
    is_file = ~text.str.contains(CHANNEL) & ~text.str.contains(NO_FILE)
    both = (paths.filter(kind)["path"].to_physical().implode() for kind in (is_file, ~is_file))
    files, others = (pl.col("path").to_physical().is_in(codes).fill_null(value=False) for codes in both)
    return files, others


def _kind(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).replace_strict(KIND_OF, default=None, return_dtype=pl.Enum(KINDS))

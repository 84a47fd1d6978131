"""Lines of metadata that name files, read by the library that ``src`` is the source of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.trace.columns import WORD
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.json_lines import parse_lines
from datacrumbs.trace.lines import load_library

if TYPE_CHECKING:
    from typing import Any


class FileNames:
    """Takes names of files from lines; of each hash the first one counts, as all traces of a job have the same."""

    def __init__(self) -> None:
        self._library = load_library()
        self._names = self._library.dc_file_names_new()
        if not self._names:
            raise MemoryError("no memory for the names of a trace")

    def __del__(self) -> None:
        if getattr(self, "_names", None):
            self._library.dc_file_names_free(self._names)

    def parse(self, lines: bytes, schema: dict[str, Any]) -> tuple[pl.DataFrame, bytes, pl.DataFrame, int]:
        """Parse lines that follow those before.

        Returns:
            Names that are new, columns fhash and path; the other lines, and what `parse_lines` makes of them: a frame
            and how many are no JSON. Lines that name files are among the others where they have another form.
        """
        names, others = self._take(lines)
        frame, skipped = parse_lines(others, schema)
        named = frame.filter(pl.col("name") == "FH").select(pl.col("args").struct.field("value").cast(WORD))
        if len(named) and len(named.join(names, left_on="value", right_on="fhash", how="semi")):
            # Two names of one file, of which only the order of all lines says which is the first.
            return names.clear(), lines, *parse_lines(lines, schema)
        return names, others, frame, skipped

    def _take(self, lines: bytes) -> tuple[pl.DataFrame, bytes]:
        found, others = (np.empty(len(lines), np.uint8) for _ in range(2))
        sizes = np.zeros(2, np.uint64)
        places = found.ctypes.data, sizes[:1].ctypes.data, others.ctypes.data, sizes[1:].ctypes.data
        if self._library.dc_file_names_take(self._names, lines, len(lines), *places):
            raise MemoryError("no memory for the names of a trace")
        texts = found[: int(sizes[0])].tobytes().decode("ascii").replace("\t", "\n").split("\n")[:-1]
        hashes, paths = (pl.Series(texts[first::2], dtype=pl.String) for first in range(2))
        frame = pl.DataFrame({"fhash": hashes.cast(WORD), "path": paths})
        return frame, others[: int(sizes[1])].tobytes()

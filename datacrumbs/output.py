"""Text for people's terminals: what strangers named must not steer them, and no stream may end in a traceback."""

from __future__ import annotations

import io
import os
import sys


def printable(text: str) -> str:
    """Text that cannot steer a terminal: control characters and lone surrogates are shown as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def printable_lines(text: str) -> str:
    """The same for text of several lines; those after the first are indented, so that none passes for a message."""
    return "\n  ".join(printable(line) for line in text.split("\n"))


class _Output(io.FileIO):
    # Standard output whose reader may go away: the command then goes on and ends as it would have.
    _gone = False

    def write(self, data: object, /) -> int:
        if not self._gone:
            try:
                return super().write(data)  # type: ignore[arg-type]
            except BrokenPipeError:
                self._gone = True
        return len(memoryview(data))  # type: ignore[arg-type]


def prepare_streams() -> None:
    """Let standard output and error take any text, and be there; to be called before anything is opened."""
    _fill_gaps()
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        encoding = sys.stdout.encoding if sys.stdout else "utf-8"
        buffer = io.BufferedWriter(_Output(1, "wb", closefd=False))
        sys.stdout = io.TextIOWrapper(
            buffer, encoding, errors="backslashreplace", line_buffering=os.isatty(1), write_through=False
        )
    if sys.stderr is None:
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "wb", closefd=False), "utf-8", errors="backslashreplace")


# A file that is opened while a standard descriptor is closed would get its number, and what is printed. These stand in
# for it: use of them fails, as use of the closed ones does.
def _fill_gaps() -> None:
    for descriptor, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)

"""The streams of a command: what strangers named cannot steer a terminal, and no stream ends in a traceback.

Everything that a command prints goes through these two streams. Only what draws on a terminal itself (tables in colour,
progress bars) writes past them, by `terminal`, and escapes names with `printable`.

Messages go to standard error and begin with the command's name: `warn` always prints, `inform` unless the command is
quiet, `detail` only when it is verbose.
"""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PLAIN = re.compile(r"[\t\n -~]*")
_MESSAGE = re.compile(r"datacrumbs\w*: ")


class Verbosity(IntEnum):
    """How much a command says on standard error beside its results."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


@dataclass(slots=True)
class _Messages:
    program: str = "datacrumbs"
    verbosity: Verbosity = Verbosity.NORMAL


_messages = _Messages()


def begin_messages(program: str, verbosity: Verbosity = Verbosity.NORMAL) -> None:
    """Say how messages of this process begin from now on, and which of them are printed."""
    _messages.program, _messages.verbosity = program, verbosity


def verbosity() -> Verbosity:
    """How much is to be printed."""
    return _messages.verbosity


def warn(message: str) -> None:
    """Print an error or a warning, whatever the verbosity."""
    print(f"{_messages.program}: {message}", file=sys.stderr, flush=True)


def inform(message: str) -> None:
    """Print a message that a user expects in normal use."""
    if _messages.verbosity >= Verbosity.NORMAL:
        warn(message)


def detail(message: str) -> None:
    """Print what helps to find out why something happened."""
    if _messages.verbosity >= Verbosity.VERBOSE:
        warn(message)


def printable(text: str) -> str:
    """Text that cannot steer a terminal: control characters and lone surrogates are shown as escapes."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def one_line(lines: Iterable[str]) -> str:
    """Lines of a message of ours as one line, its hint behind a semicolon."""
    return " ".join(line.strip() for line in lines).replace(" hint: ", "; ")


def last_message(lines: Sequence[str]) -> str:
    """The last message of a command of ours among lines, with its hint, as one line; empty where there is none."""
    begun = [place for place, line in enumerate(lines) if _MESSAGE.match(line)]
    return _MESSAGE.sub("", one_line(lines[begun[-1] :])) if begun else ""


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with what it counts: ``1 function``, ``2 functions``; `plural` where it is more than an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def first_few(items: Sequence[str], number: int = 3) -> str:
    """The first of some words, and how many there are besides: ``a, b, c and 2 more``."""
    more = len(items) - number
    return ", ".join(items[:number]) + (f" and {more:,} more" if more > 0 else "")


def printable_lines(text: str, indent: str = "") -> str:
    """The same for text of several lines, which may have tabs.

    Args:
        text: The lines.
        indent: What precedes each line but the first, so that none passes for a message of its own.
    """
    if not _PLAIN.fullmatch(text):
        text = "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))
    return re.sub(r"\n(?=[^\n])", f"\n{indent}", text) if indent else text


def terminal(stream: TextIO) -> TextIO:
    """The stream for what draws on a terminal itself."""
    return cast("TextIO", stream.drawing) if isinstance(stream, _Stream) else stream


def prepare_streams() -> None:
    """Let standard output and error be there, and take any text; to be called before anything is opened."""
    _fill_gaps()
    sys.stdout = _Stream(_Output(1, "wb", closefd=False), sys.stdout, "")
    sys.stderr = _Stream(_Errors(2, "wb", closefd=False), sys.stderr, "  ")


class _Stream(io.TextIOWrapper):
    def __init__(self, raw: io.FileIO, before: TextIO | None, indent: str) -> None:
        encoding = before.encoding if before is not None else "utf-8"
        buffer = io.BufferedWriter(raw)
        lines = raw.isatty() or bool(indent)
        super().__init__(buffer, encoding, errors="backslashreplace", line_buffering=lines)
        self._indent = indent
        self.drawing = _Drawing(self)

    def write(self, text: str, /) -> int:
        super().write(printable_lines(text, self._indent))
        return len(text)

    def write_as_it_is(self, text: str) -> int:
        return super().write(text)


class _Drawing(io.TextIOBase):
    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def write(self, text: str, /) -> int:
        return self._stream.write_as_it_is(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


class _Output(io.FileIO):
    # The reader of a pipe may have had enough: the command goes on, and ends as it would have. What fails otherwise is
    # reported once.
    _ended = False

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        if not self._ended:
            try:
                return super().write(data)
            except BlockingIOError:
                raise
            except OSError as error:
                self._ended = True
                if not isinstance(error, BrokenPipeError):
                    raise OSError(error.errno, error.strerror, "standard output") from None
        return len(data)


class _Errors(io.FileIO):
    # A message that cannot be printed changes nothing of how a command ends.
    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        with suppress(OSError):
            return super().write(data)
        return len(data)


# A file that is opened while a standard descriptor is closed would get its number, and what is printed. These take its
# place: use of them fails, as use of the closed ones does.
def _fill_gaps() -> None:
    for descriptor, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)

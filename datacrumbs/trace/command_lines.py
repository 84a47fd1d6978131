"""Command lines of processes as texts: quoted as for a shell, so that the arguments can be told apart."""

from __future__ import annotations

import codecs
import shlex
from typing import TYPE_CHECKING

from datacrumbs.trace.text import raw_bytes

if TYPE_CHECKING:
    from datacrumbs.trace.redaction import Redaction

COMMAND_HASH = "cmd_hash"
"""Name of a process's line whose value is the hash of its command line, as DFTracer calls it."""


def command_line(arguments: str, whole: int, redaction: Redaction) -> str:
    """The command line that a trace shows.

    Args:
        arguments: Each with a zero behind it; the beginning of them where they did not fit.
        whole: Bytes of all of them.
        redaction: Hides what is not to be shown.

    Returns:
        What a shell would take for the same arguments. Where some are missing, ``[cut: N bytes in all]`` follows, which
        as an argument would be in quotation marks.
    """
    data = raw_bytes(arguments)
    is_cut = whole > len(data)
    if is_cut:  # without the beginning of a character whose other bytes are not there
        arguments = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(data)
    *ended, last = arguments.split("\0")
    shown = [redaction.argument(each) for each in ended]
    if last:  # of a path that is cut it is not known whether it is to be hidden
        shown.append(redaction.word(last) if is_cut else redaction.argument(last))
    text = shlex.join(shown)
    return f"{text} [cut: {whole} bytes in all]" if is_cut else text

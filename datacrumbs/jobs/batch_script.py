"""The ``#SBATCH`` lines of a batch script, as sbatch reads them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.jobs.slurm_options import SBATCH, components

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT_LIMIT = 4 << 20  # sbatch's own (MAX_BATCH_SCRIPT_SIZE) unless the site has another
_MARKS = ("#SBATCH", "#SLURM")
_QUOTES = "\"'"


def script_comment(script: str) -> str | None:
    """The comment that a script asks for; None when it asks for none."""
    words = [word for line in _marked_lines(script) for word in _words(line)]
    options = [option for component in components(SBATCH, words) for option in component.options]
    comments = [option.value for option in options if option.is_comment]
    return comments[-1] if comments else None


def found_script(name: str) -> Path | None:
    """Where sbatch finds a script: in the working directory, else where commands are."""
    path = Path(name)
    if "/" in name or path.is_file():
        return path if path.is_file() else None
    found = shutil.which(name, mode=os.R_OK)
    return Path(found) if found else None


# Up to the first line that is a command.
def _marked_lines(script: str) -> Iterator[str]:
    for line in script.split("\n"):
        mark = next((mark for mark in _MARKS if line.startswith(mark)), None)
        if mark is not None:
            yield line.removeprefix(mark)
        elif line.strip() and not line.lstrip().startswith("#"):
            return


# Not a shell's rules: a backslash escapes in single quotes as well, and # ends a line wherever it is not quoted.
def _words(line: str) -> Iterator[str]:
    word, quote, begun, escaped = "", "", False, False
    for letter in line:
        if escaped:
            word, begun, escaped = word + letter, True, False
        elif letter == "\\":
            escaped = True
        elif quote:
            quote, word = ("", word) if letter == quote else (quote, word + letter)
        elif letter in _QUOTES:
            quote, begun = letter, True
        elif letter == "#":
            break
        elif not letter.isspace():
            word, begun = word + letter, True
        elif begun:
            yield word
            word, begun = "", False
    if begun:
        yield word

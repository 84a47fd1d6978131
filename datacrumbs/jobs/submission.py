"""A command line of ``sbatch``, ``salloc`` or ``srun`` with a comment that asks for tracing, else as given."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from datacrumbs.errors import RECREATE, DatacrumbsError, usage_error
from datacrumbs.jobs.batch_script import SCRIPT_LIMIT, found_script, script_comment
from datacrumbs.jobs.metadata import comment_with
from datacrumbs.jobs.slurm_options import COMMENT, SBATCH, components
from datacrumbs.output import warn
from datacrumbs.probefile.storage import instant, unverified_grant
from datacrumbs.secure.files import is_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from datacrumbs.jobs.slurm_options import Component, SlurmCommand

ALLOCATION = ("SLURM_JOB_ID", "SLURM_JOBID")
_WRAP, _JOB = "--wrap", "--jobid"


def traced(command: SlurmCommand, words: Sequence[str], probe_file: Path) -> list[str]:
    """The words with metadata in the comment of each component.

    Of sbatch, the comment that the script asks for is kept as well; a script on standard input is read for that, and is
    there again afterwards.

    Args:
        command: Which command.
        words: Its words, without our own options.
        probe_file: Absolute path.

    Raises:
        DatacrumbsError: (exit 2) when a comment has metadata already.
    """
    result = list(words)
    found = components(command, words)
    for component in reversed(found):
        comment = component.comment
        if comment is None:
            own = _of_script(words, found) if command is SBATCH and component is found[0] else None
            result.insert(component.begin, f"{COMMENT}={comment_with(os.fspath(probe_file), own or None)}")
        elif comment.value is not None:
            kept = comment_with(os.fspath(probe_file), comment.value or None)
            result[comment.begin : comment.end] = [f"{COMMENT}={kept}"]
    return result


def is_step(command: SlurmCommand, words: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether srun starts a step of a job that is there: then that job's own metadata decides."""
    inside = any(environment.get(name) for name in ALLOCATION)
    return command.name == "srun" and (inside or any(each.has(_JOB) for each in components(command, words)))


def check_probe_file(path: Path) -> None:
    """Find what would leave the job untraced while its user is there to read it.

    Raises:
        DatacrumbsError: (exit 2) for another user's grant, one that is over, or a file that is no probe file.
    """
    if not is_file(path):
        warn(f"{path}: no such file here; the job is traced if it is on the compute nodes")
        return
    grant = unverified_grant(path)
    own = os.geteuid()
    if own not in {0, grant.uid}:
        raise usage_error(
            f"{path}: granted to {grant.user} (uid {grant.uid}), not to uid {own}", f"as that user, {RECREATE}"
        )
    if time.time() >= grant.expires:
        raise usage_error(f"{path}: expired at {instant(grant.expires)}", RECREATE)


def _of_script(words: Sequence[str], found: Sequence[Component]) -> str | None:
    if any(component.has(_WRAP) for component in found):
        return None
    place = found[-1].end + (words[found[-1].end : found[-1].end + 1] == ["--"])
    if place >= len(words):
        return script_comment(_standard_input())
    path = found_script(words[place])
    if path is None:
        return None  # sbatch says so
    try:
        with path.open("rb") as stream:
            return script_comment(os.fsdecode(stream.read(SCRIPT_LIMIT)))
    except OSError:
        return None  # likewise


# What was read, and the rest, are there for the program that follows.
def _standard_input() -> str:
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    copy = os.memfd_create("script", os.MFD_CLOEXEC)
    try:
        size = 0
        while size <= SCRIPT_LIMIT and (data := os.read(0, 1 << 16)):
            size += os.write(copy, data)
        if size > SCRIPT_LIMIT:
            raise DatacrumbsError(f"the script on standard input is larger than {SCRIPT_LIMIT} bytes")
        os.lseek(copy, 0, os.SEEK_SET)
        os.dup2(copy, 0)
        script = os.fsdecode(os.pread(0, SCRIPT_LIMIT, 0))
    finally:
        os.close(copy)
    return script

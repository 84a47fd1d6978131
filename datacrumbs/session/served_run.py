"""A run beside one command of a user who is not root: the service of runs has it, and gives the user the trace."""

from __future__ import annotations

import os
import subprocess
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.client import launcher
from datacrumbs.errors import DatacrumbsError
from datacrumbs.quantities import MEGABYTE
from datacrumbs.runs.order_options import LABEL_LIMIT, OrderOptions
from datacrumbs.runs.run_client import RunningRun
from datacrumbs.session.own_run import Outcome, OwnRecording
from datacrumbs.trace.footer import PARTS
from datacrumbs.trace.last_line import footer_of

if TYPE_CHECKING:
    import argparse
    from typing import BinaryIO

    from datacrumbs.system import SystemPaths

_PART = 1 << 20


def asked_for_process(run: str, process: int) -> str:
    """Ask a run of the caller's for a running process, as ``datacrumbs_mark`` does; gives why it is not traced, or "".

    The kernel side sees who asks, and applies the rules of ptrace to the process.
    """
    command = [str(launcher()), f"--run-id={run}", f"--pid={process}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    said = done.stderr.strip().partition(": ")[2]
    return (said or f"it ended with {done.returncode}") if done.returncode else ""


class ServedRecording(RunningRun):
    """A run of the service, as `OwnRecording` is one of root's.

    Args:
        paths: The installation.
        signed: The probe file.
        options: The command line's: mode, duration and size.
        command: What is run, for `datacrumbs list`.
        stream: Where the trace goes in the end.
    """

    def __init__(
        self, paths: SystemPaths, signed: bytes, options: argparse.Namespace, command: list[str], stream: BinaryIO
    ) -> None:
        label = " ".join(command)[:LABEL_LIMIT]
        asked = OrderOptions(
            options.mode if options.mode == "profile" else "",
            ceil((options.duration or 0) * 1000),
            ceil((options.max_size or 0) * MEGABYTE),
            "".join(character if character.isprintable() else "?" for character in label),
        )
        super().__init__(paths, signed, asked)
        self._stream = stream
        self._failure: DatacrumbsError | None = None

    def listen(self) -> None:
        """Take what the service says; that it is gone for good is the end, and the command goes on."""
        try:
            super().listen()
        except DatacrumbsError as error:
            self._failure, self.ended = error, True

    def outcome(self) -> Outcome:
        """Move the trace to where its user wants it; gives what became of the calls.

        Raises:
            DatacrumbsError: The run failed.
        """
        if self._failure is not None:
            raise self._failure
        if not self.trace:
            raise DatacrumbsError(f"the run did not begin: {self.log.strip() or 'it was ended'}")
        trace = Path(self.trace)
        try:
            footer = footer_of(trace)
            with trace.open("rb") as source:
                copy_whole(source, self._stream)
            trace.unlink()
        except OSError as error:
            raise DatacrumbsError(
                f"{trace}: cannot be moved to where it was asked for: {error.strerror}", hint="it stays where it is"
            ) from None
        if footer is None:
            raise DatacrumbsError(self.log.strip() or "the run ended before its trace was complete")
        entered, recorded = footer.get("entered", 0), footer.get("recorded", 0)
        lost = sum(number for key, number in footer.items() if key.startswith("lost_"))
        return Outcome(entered, recorded, lost, entered == sum(footer.get(part, 0) for part in PARTS[1:]) + lost)

    def messages(self) -> str:
        """What it has to say to people."""
        return self.log

    def discard(self) -> None:
        """Let go of it; the service ends it if it has not ended."""
        self.close()


Recording = OwnRecording | ServedRecording
"""A run that was started beside a command."""


def as_probe_file(path: Path) -> bytes:
    """The bytes of a probe file, for the service to verify.

    Raises:
        DatacrumbsError: It cannot be read.
    """
    from datacrumbs.probefile.envelope import COMPRESSED_LIMIT  # noqa: PLC0415 - only for this option
    from datacrumbs.secure.files import read_bounded  # noqa: PLC0415 - likewise

    return read_bounded(Path(os.path.abspath(path)), COMPRESSED_LIMIT)  # noqa: PTH100 - keeps links


# The stream is not buffered, so a write may take a part only, as where a limit or a full disk is met.
def copy_whole(source: BinaryIO, target: BinaryIO) -> None:
    while part := source.read(_PART):
        view = memoryview(part)
        while view:
            view = view[target.write(view) :]
    os.fsync(target.fileno())

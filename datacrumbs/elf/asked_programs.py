"""Programs that are run to be asked something, or to change a file: compilers, interpreters, loaders, patchelf.

Each is in a session of its own: its user, who may be another one, can look into it, and then type into a terminal that
it has. What one does is bounded by processor time. How long that takes on the clock depends on what else runs on the
host: a program that does not answer there in time has not said no, and nothing is concluded from it.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

PROCESSOR_SECONDS = 60
CLOCK_SECONDS = 300.0
"""For a program that waits without end, such as for a file system that hangs."""


class NoAnswerError(DatacrumbsError):
    """A program did not answer in time on the clock."""


def ask(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    text: str = "",
    folder: str | None = None,
    descriptors: Collection[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and take what it writes.

    Args:
        command: The program and its arguments.
        environment: Its environment.
        text: Its standard input.
        folder: Its working directory, if not this process's.
        descriptors: Of this process, that it inherits.

    Raises:
        NoAnswerError: (exit 1) It does not end in `CLOCK_SECONDS`.
        OSError: It cannot be executed.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        env=environment,
        cwd=folder,
        pass_fds=descriptors,
        start_new_session=True,
        preexec_fn=bound_processor_time,  # noqa: PLW1509 - sets a limit, takes no lock
    ) as process:
        try:
            said = process.communicate(text, CLOCK_SECONDS)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started, such as the compiler proper
            if isinstance(error, subprocess.TimeoutExpired):
                raise NoAnswerError(
                    f"{command[0]} did not answer in {CLOCK_SECONDS:.0f} s: this host is very busy, or the program is "
                    "waiting for something",
                    hint="try again when the host is less busy",
                ) from None
            raise
    return subprocess.CompletedProcess(command, process.returncode, *said)


def bound_processor_time() -> None:
    """Bound that of this process and, each by itself, of all that it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    most = PROCESSOR_SECONDS if hard == resource.RLIM_INFINITY else min(PROCESSOR_SECONDS, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))

"""A run beside one command, in a process of its own: the existing daemon's, which takes only marks that name this run.

`Recording` is the seam: a run that a service starts for a caller without rights is one, too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from datacrumbs.daemon.chosen_processes import Chosen
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.output import Verbosity, begin_messages, printable, verbosity
from datacrumbs.secure import privilege

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datacrumbs.model.plan import Mode
    from datacrumbs.probefile.envelope import SignedPlan
    from datacrumbs.system import SystemConfiguration, SystemPaths

_READ = 1 << 16


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a command is recorded.

    Args:
        name: What the trace calls the probe file.
        run_id: The name by which the command's processes are marked.
        path: The trace.
        stream: The trace, open and empty.
        configuration: Sizes and limits.
        mode: How calls are recorded; None for what the plan says of each.
        chosen: Processes that are traced without marks.
    """

    name: Path
    run_id: str
    path: Path
    stream: BinaryIO
    configuration: SystemConfiguration
    mode: Mode | None = None
    chosen: Chosen = field(default_factory=Chosen)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the calls."""

    entered: int
    recorded: int
    lost: int
    balanced: bool


class Recording(Protocol):
    """A run that was started."""

    @property
    def run_id(self) -> str:
        """By which the command's processes are marked."""

    def fileno(self) -> int:
        """Readable when there is something to `listen` to."""

    def listen(self) -> None:
        """Take what it says."""

    @property
    def ready(self) -> bool:
        """Whether programs are traced."""

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, in whichever way."""

    def stop(self) -> None:
        """Have it come to its end: `ended` follows."""

    def outcome(self) -> Outcome:
        """What became of the calls, once it has ended; raises a `DatacrumbsError` where the run failed."""

    def messages(self) -> str:
        """What it has to say to people, once it has ended."""

    def discard(self) -> None:
        """End it at once, wherever it is, and leave nothing of it but the file that it was given; idempotent."""


class OwnRecording:
    """A run of root's in a child of this process, which begins at once; see `Recording`.

    Args:
        paths: The installation, which need not be set up.
        signed: What is probed.
        options: How.
    """

    def __init__(self, paths: SystemPaths, signed: SignedPlan, options: RunOptions) -> None:
        self._paths, self._run_id = paths, options.run_id
        self._said = os.memfd_create("datacrumbs-messages", os.MFD_CLOEXEC)
        self._channel, theirs = os.pipe2(os.O_CLOEXEC)
        self._text = b""
        self._news: dict[str, Any] = {}
        self._ended = False
        parent = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            _be_the_run(parent, theirs, self._said, lambda ready: _trace(paths, signed, options, ready))
        os.close(theirs)

    @property
    def run_id(self) -> str:
        """By which the command's processes are marked."""
        return self._run_id

    def fileno(self) -> int:
        """Readable when there is something to `listen` to."""
        return self._channel

    def listen(self) -> None:
        """Take what it says."""
        part = os.read(self._channel, _READ)
        self._ended = not part
        *lines, self._text = (self._text + part).split(b"\n")
        for line in lines:
            self._news.update(json.loads(line))

    @property
    def ready(self) -> bool:
        """Whether programs are traced."""
        return "ready" in self._news

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self._ended

    def stop(self) -> None:
        """Have it come to its end."""
        if self._pid and not self._ended:
            os.kill(self._pid, signal.SIGTERM)

    def outcome(self) -> Outcome:
        """What became of the calls.

        Raises:
            DatacrumbsError: The run failed.
        """
        if "failed" in self._news:
            message, hint, code = self._news["failed"]
            raise DatacrumbsError(message, hint=hint, exit_code=ExitCode(code))
        if "done" not in self._news:
            raise DatacrumbsError("the process that traces ended before the run did")
        return Outcome(*self._news["done"])

    def messages(self) -> str:
        """What it has to say to people."""
        size = os.fstat(self._said).st_size
        return os.pread(self._said, size, 0).decode("utf-8", "replace")

    def discard(self) -> None:
        """End it at once."""
        if not self._pid:
            return
        with suppress(OSError):
            os.killpg(self._pid, signal.SIGKILL)
        with suppress(OSError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._pid = 0
        os.close(self._channel)
        if self._news.keys().isdisjoint(("done", "failed")):
            from datacrumbs.daemon.unit import clean_up  # noqa: PLC0415 - other runs clean up themselves

            clean_up(self._paths.run, self._run_id, {})


def _trace(paths: SystemPaths, signed: SignedPlan, options: RunOptions, ready: Callable[[], None]) -> Outcome:
    from datacrumbs.daemon.run import run  # noqa: PLC0415 - the engine, once something is traced
    from datacrumbs.daemon.run_request import OpenOutput, RunRequest  # noqa: PLC0415 - likewise
    from datacrumbs.probefile.targets import OpenTargets  # noqa: PLC0415 - likewise

    request = RunRequest(
        options.name,
        signed,
        OpenTargets(signed.plan, signed.grant.uid),
        options.run_id,
        paths,
        options.configuration,
        mode=options.mode,
        names=(options.run_id,),
        unnamed=False,
        chosen=options.chosen,
        output=OpenOutput(options.path, options.stream),
    )
    result = run(request, ready)
    return Outcome(result.entered, result.recorded, result.lost, result.balanced)


# Where the command's terminal is, only the command is to be seen until it ends; so what is said is kept.
def _be_the_run(parent: int, channel: int, said: int, trace: Callable[[Callable[[], None]], Outcome]) -> None:
    def say(**news: object) -> None:
        os.write(channel, json.dumps(news).encode() + b"\n")

    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor, source in ((0, null), (1, null), (2, said)):
            os.dup2(source, descriptor)
        sys.stderr = sys.__stderr__
        begin_messages("datacrumbs", verbosity() if verbosity() == Verbosity.VERBOSE else Verbosity.QUIET)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        # It outlives a parent that is killed, for as long as its trace takes to be complete.
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        privilege.end_with_parent(signal.SIGTERM)
        if os.getppid() != parent:
            return
        outcome = trace(lambda: say(ready=True))
        say(done=[outcome.entered, outcome.recorded, outcome.lost, outcome.balanced])
    except DatacrumbsError as error:
        say(failed=[error.message, error.hint, int(error.exit_code)])
    except BaseException as error:  # noqa: BLE001 - nothing of the process that was forked may run on
        say(failed=[printable(f"{type(error).__name__}: {error}"), "", int(ExitCode.FAILED)])
    finally:
        os._exit(0)

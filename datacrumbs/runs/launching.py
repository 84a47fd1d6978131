"""Starting and ending the process of a run: a unit where systemd runs, else a child of the service.

Either is the same command, reads the same environment file, and goes on when the service ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import sysconfig
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.secure.privilege import empty
from datacrumbs.serving.limited import be_ordinary
from datacrumbs.serving.process_ends import process_end

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datacrumbs.runs.kept_run import KeptRun
    from datacrumbs.system import SystemPaths

BOOTED = Path("/run/systemd/system")  # sd_booted(3)
AGAIN_SECONDS = 1.0
"""After which systemd is asked again, where it does not answer."""
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_GO = b"."
_DONE, _NOT_LOADED = 0, 5  # exit statuses of systemctl
_OVER = {"inactive", "failed"}


def daemon_command(paths: SystemPaths) -> tuple[str, ...]:
    """The daemon's command line, as the unit has it."""
    script = Path(sysconfig.get_path("scripts")) / "datacrumbs"
    return (sys.executable, "-I", str(script), "--prefix", str(paths.prefix))


class ChildLauncher:
    """Runs are children of the service, in sessions of their own.

    Args:
        command: The daemon's.
    """

    as_unit = False

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)

    async def start(self, run: KeptRun, keep: Callable[[KeptRun], None]) -> KeptRun:
        """Start a run; its process executes nothing before it is written down which one it is."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            pid = os.fork()
            if not pid:
                _be_the_run(reader, writer, (*self._command, "--instance", run.run))
            started = run.with_process(pid)
            keep(started)
            os.write(writer, _GO)
        finally:
            os.close(reader)
            os.close(writer)
        return started

    async def found(self, run: KeptRun) -> KeptRun:
        """The run, with its process if that is still the same one."""
        return run if run.is_alive else replace(run, pid=0)

    async def interrupt(self, run: KeptRun) -> None:
        """Have a run come to its end."""
        _signal(run, signal.SIGTERM)

    async def kill(self, run: KeptRun) -> None:
        """End a run; those beside it notice."""
        _signal(run, signal.SIGKILL)

    async def clean_up(self, run: KeptRun, *, ended_well: bool) -> None:
        """Remove what the process has left; of one that did not end well, the log stays."""
        result = "success" if ended_well else "exit-code"
        await program((*self._command, "--clean-up", run.run), {"SERVICE_RESULT": result})


class UnitLauncher:
    """Runs are units: ``datacrumbs@ID.service``, with its bounds and its confinement."""

    as_unit = True

    async def start(self, run: KeptRun, keep: Callable[[KeptRun], None]) -> KeptRun:
        """Start a run; this returns when programs are traced."""
        await program(("systemctl", "start", _unit(run)))
        started = await self.found(run)
        keep(started)
        return started

    async def found(self, run: KeptRun) -> KeptRun:
        """The run, with the main process of its unit; systemd is asked until it says what became of it."""
        process = None
        while process is None:
            process = _main_process(await output(_shown(run)))
            if process is None:
                await asyncio.sleep(AGAIN_SECONDS)
        return replace(run, pid=process)

    async def interrupt(self, run: KeptRun) -> None:
        """Have a run come to its end."""
        await _insist(("systemctl", "stop", "--no-block", _unit(run)))

    async def kill(self, run: KeptRun) -> None:
        """End a run; systemd has its own time limit for that."""
        await program(("systemctl", "kill", "--signal=KILL", _unit(run)))

    async def clean_up(self, run: KeptRun, *, ended_well: bool) -> None:  # noqa: ARG002 - systemd knows
        """Wait until the unit has cleaned up."""
        await _insist(("systemctl", "stop", _unit(run)))


Launcher = UnitLauncher | ChildLauncher
"""How runs become processes."""


def launcher(paths: SystemPaths) -> Launcher:
    """What fits this host; units are those of the installation in ``/``."""
    if paths.prefix == Path("/") and BOOTED.is_dir():
        return UnitLauncher()
    return ChildLauncher(daemon_command(paths))


def _shown(run: KeptRun) -> tuple[str, ...]:
    return ("systemctl", "show", "--property=MainPID", "--property=ActiveState", _unit(run))


# None where that is not known: systemd did not answer, or the unit is between two states. A run that were taken for
# over meanwhile would trace on, and neither be counted nor shown.
def _main_process(shown: bytes) -> int | None:
    words = dict(line.split("=", 1) for line in shown.decode("ascii", "replace").splitlines() if "=" in line)
    process, state = words.get("MainPID", ""), words.get("ActiveState", "")
    if not process.isdecimal() or (int(process) == 0 and state not in _OVER):
        return None
    return int(process)


async def _insist(words: Sequence[str]) -> None:
    done = False
    while not done:
        done = await program(words) in {_DONE, _NOT_LOADED}
        if not done:
            await asyncio.sleep(AGAIN_SECONDS)


def _unit(run: KeptRun) -> str:
    return f"datacrumbs@{run.run}.service"


async def until_over(pid: int) -> None:
    """Wait for a process to end, however often there is no descriptor to wait with."""
    while True:
        try:
            await process_end(pid)
        except OSError:
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return


async def program(words: Sequence[str], more: dict[str, str] | None = None) -> int:
    """Run a program to its end, without input and output; gives its exit status."""
    process = _begun(words, {**ENVIRONMENT, **(more or {})}, subprocess.DEVNULL)
    if process is None:
        return 127
    await _over(process)
    return process.wait()


async def output(words: Sequence[str]) -> bytes:
    """What a program prints, at most what a pipe holds."""
    process = _begun(words, ENVIRONMENT, subprocess.PIPE)
    if process is None or process.stdout is None:
        return b""
    with process.stdout:
        await _over(process)
        process.wait()
        return process.stdout.read()


# Of one that is not waited for any more, nothing stays.
async def _over(process: subprocess.Popen[bytes]) -> None:
    try:
        await until_over(process.pid)
    except asyncio.CancelledError:
        process.kill()
        process.wait()
        raise


def _begun(words: Sequence[str], environment: dict[str, str], stdout: int) -> subprocess.Popen[bytes] | None:
    try:
        return subprocess.Popen(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            start_new_session=True,
            preexec_fn=_be_apart,  # noqa: PLW1509 - the service has one thread
        )
    except OSError:
        return None


# The service takes signals by a descriptor, and has processors before others: neither is for what it starts.
def _be_apart() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    be_ordinary()


def _signal(run: KeptRun, number: int) -> None:
    if run.is_alive:
        with suppress(ProcessLookupError):
            os.kill(run.pid, number)


# Never returns: what calls it belongs to the service.
def _be_the_run(reader: int, writer: int, words: Sequence[str]) -> None:
    try:
        os.setsid()
        _be_apart()
        os.close(writer)
        if os.read(reader, 1) != _GO:
            return  # the service has ended before it was written down which process this is
        empty(0, 1, 2)
        os.chdir("/")
        os.umask(0o022)
        os.execve(words[0], list(words), ENVIRONMENT)  # noqa: S606 - no shell
    except BaseException:  # noqa: BLE001, S110 - whatever it is ends here; the service sees the status
        pass
    finally:
        os._exit(127)


async def first_of(*events: asyncio.Event, seconds: float | None = None) -> None:
    """Wait until one of these has happened, or the time is over."""
    waiters = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiters, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()

"""Which processes a run takes that need not mark themselves: those that run already, and those of a control group."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, refusal, usage_error
from datacrumbs.model.contract import Take
from datacrumbs.output import counted, inform, warn
from datacrumbs.secure.file_systems import file_system_kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from datacrumbs.daemon.identity import Owner
    from datacrumbs.engine.engine import Engine

PROCESSES_MOST = 512
_FIRST_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO in linux/proc_ns.h
_GROUP_MAGIC = 0x63677270  # CGROUP2_SUPER_MAGIC in linux/magic.h
GROUP_MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
_SHARE = 20  # looks take at most this part of the time: one in twenty
_STARTED = 19  # of the fields behind the name in /proc/PID/stat
_REFUSED = {
    Take.FOREIGN: "is not a process of {}, by each of its user ids",
    Take.PRIVILEGED: "has capabilities or group ids that {} does not have",
    Take.CLOSED: "keeps its memory from {}, as programs do that changed their rights or that their user may not read",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Processes that are traced without marks.

    Args:
        processes: Process id -> when it began, in ticks since the machine's start.
        group: Inode number of a control group; 0 for none.
        awaited: Names of a control group that may not exist yet, each with its parent's before it.
        maker: User id that makes that group; root may always.
    """

    processes: Mapping[int, int] = field(default_factory=dict)
    group: int = 0
    awaited: tuple[str, ...] = ()
    maker: int = 0

    def __bool__(self) -> bool:
        return bool(self.processes or self.group)


def choose(processes: Iterable[int], group: Path | None, awaited: tuple[str, ...] = (), maker: int = 0) -> Chosen:
    """Find the processes and the group.

    Args:
        processes: Process ids.
        group: Directory of a control group, or its name as ``/proc/PID/cgroup`` has it.
        awaited: As `Chosen` has it.
        maker: As `Chosen` has it.

    Raises:
        DatacrumbsError: (exit 2) when one is not there.
    """
    wanted = sorted(set(processes))
    if len(wanted) > PROCESSES_MOST:
        raise usage_error(f"--pid: {len(wanted)} processes; expected at most {PROCESSES_MOST}")
    if wanted and Path("/proc/self/ns/pid").stat().st_ino != _FIRST_NAMESPACE:
        raise usage_error("--pid: process ids of this container are not the kernel's", "run the daemon on the host")
    began = {process: _began(process) for process in wanted}
    return Chosen(began, _group(group) if group else 0, awaited, maker)


def take(engine: Engine, chosen: Chosen, user: Owner) -> None:
    """Have the processes traced from now on.

    Raises:
        DatacrumbsError: (exit 1) when a process has ended; (exit 3) when the user may not trace it.
    """
    # Whatever is made from now on is seen as it is made.
    found = group_there(chosen.awaited, chosen.maker)
    if not chosen and not found:
        return
    outcomes = engine.take(chosen.processes, found)
    for process in chosen.processes:
        outcome = outcomes.get(process, Take.ENDED)
        if outcome in _REFUSED:
            raise refusal(
                f"process {process} {_REFUSED[outcome].format(user.name)}",
                "it must be open to that user as to a debugger of theirs (ptrace(2))",
            )
        if outcome not in {Take.TAKEN, Take.TRACED}:
            raise DatacrumbsError(f"process {process} has ended, or the kernel does not list it")
    running = sum(outcome in {Take.TAKEN, Take.TRACED} for outcome in outcomes.values())
    inform(f"traced from now on: {counted(running, 'running process', 'running processes')}")


class Asked:
    """Running processes that programs of the run's user ask for while the run goes on (``datacrumbs_mark``).

    Args:
        engine: The run's; nothing more may be attached.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._heard = 0
        self._next = 0.0

    def look(self) -> None:
        """Take what was asked for and may be taken. Looks cost a look at every task, so they are seldom."""
        begin = time.monotonic()
        if begin < self._next:
            return
        asks = self._engine.asks
        if asks == self._heard:
            return
        self._heard = asks
        try:
            outcomes = self._engine.take({})
        except (DatacrumbsError, OSError) as error:  # who asks gets no answer, and the run goes on
            self._next = math.inf
            warn(f"running processes cannot be traced: {error}")
            return
        self._next = time.monotonic() + _SHARE * (time.monotonic() - begin)
        taken = sum(outcome is Take.TAKEN for outcome in outcomes.values())
        if taken:
            inform(f"traced from now on, since their user asked: {counted(taken, 'process', 'processes')}")


def group_there(awaited: Collection[str], maker: int = 0) -> int:
    """Inode number of the first control group of root's or the maker's with one of these names; 0 for none."""
    wanted = [name.rpartition("/") for name in awaited]
    for mount in GROUP_MOUNTS if wanted else ():
        for place, directories, _ in os.walk(mount):
            directories[:] = [name for name in directories if _owner(Path(place, name)) in {0, maker}]
            here = Path(place).name
            for parent, _, name in wanted:
                if here == parent and name in directories and (group := _group_at(Path(place, name), os.O_NOFOLLOW)):
                    return group
            if any(here == parent for parent, _, _ in wanted):
                directories.clear()
    return 0


# Users make as many groups as they like in what is delegated to them.
def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


# The inode number of a directory that is a control group of version 2; else 0.
def _group_at(place: Path, more_flags: int = 0) -> int:
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | more_flags)
    except OSError:
        return 0
    try:
        return os.fstat(descriptor).st_ino if file_system_kind(descriptor) == _GROUP_MAGIC else 0
    finally:
        os.close(descriptor)


# Of each process by its number alone another could get it before the kernel side looks.
def _began(process: int) -> int:
    try:
        directory = Path(f"/proc/{process}")
        status = (directory / "status").read_bytes()
        stat = (directory / "stat").read_bytes()
    except OSError:
        raise usage_error(f"--pid: {process}: no such process") from None
    # The process is called as it likes, by a name with any sign but this one that ends a line.
    of = int(next(line for line in status.split(b"\n") if line.startswith(b"Tgid:")).split()[1])
    if of != process:
        raise usage_error(f"--pid: {process} is a thread of process {of}", f"give --pid {of}")
    return int(stat.rpartition(b")")[2].split()[_STARTED])


def _group(path: Path) -> int:
    for place in (path.absolute(), *(mount / os.fspath(path).lstrip("/") for mount in GROUP_MOUNTS)):
        if group := _group_at(place):
            return group
    raise usage_error(
        f"--cgroup: {path}: no control group of version 2",
        "give its directory below /sys/fs/cgroup (or /sys/fs/cgroup/unified), or what /proc/PID/cgroup says behind 0::",
    )

"""Files that programs map during a run, as the process that traces sees them.

The process that looks at them (`datacrumbs.daemon.finding`) is the user's, so it is believed nothing. A file that it
hands over is checked here, and probed if it is what the plan has under another name.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from datacrumbs.daemon.child_process import plain_text
from datacrumbs.daemon.messages import ARGUMENTS_LIMIT, Again, Arguments, Found, Mapped, Missed, Unseen
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.layouts import MAPPED_KEY
from datacrumbs.output import counted
from datacrumbs.probefile.mapped_files import verify_mapped
from datacrumbs.secure.file_systems import OVERLAY, file_system_kind
from datacrumbs.trace.notes import LATE, NOT_PROBED, Note

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from datacrumbs.daemon.channel import Received
    from datacrumbs.daemon.finder_process import FinderProcess
    from datacrumbs.daemon.identity import Owner
    from datacrumbs.engine.engine import Engine
    from datacrumbs.model.plan import Group, Plan, Target
    from datacrumbs.probefile.targets import OpenTargets

_TEXT_LIMIT = 200
_PATH_LIMIT = 4096
_NOTES_LIMIT = 256
_ARGUMENTS_KEPT = 4096
_PATIENCE_SECONDS = 2.0


@dataclass(slots=True)
class LateCounts:
    """What the footer says of files that were mapped during the run."""

    files_late: int = 0
    files_not_probed: int = 0


@dataclass(frozen=True, slots=True)
class LateRules:
    """What may be attached late.

    Args:
        user: The run's.
        limit: How many files at most.
        skip: Identities of functions that are known not to attach.
    """

    user: Owner
    limit: int
    skip: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class _Probed:
    # A file with probes, as far as it can be identified.
    device: int
    inode: int
    size: int
    modified: int
    overlaid: bool


@dataclass(slots=True)
class LateFiles:
    """Takes what the process that looks has found, and probes what may be probed.

    Args:
        plan: The run's.
        targets: Its open files.
        engine: What attaches.
        rules: What may be attached.
        tell: Takes a line for the daemon's log.
        counts: What was done so far.
        arguments: Of processes that were taken as they ran, for the process that writes.
    """

    plan: Plan
    targets: OpenTargets
    engine: Engine
    rules: LateRules
    tell: Callable[[str], None]
    counts: LateCounts = field(default_factory=LateCounts)
    arguments: list[Arguments] = field(default_factory=list)
    _probed: list[_Probed] = field(default_factory=list)
    _hung: bool = False
    _said_unseen: bool = False

    def __post_init__(self) -> None:
        self._probed += [_state(descriptor) for descriptor in self.targets.files.values()]

    @property
    def known(self) -> set[tuple[int, int]]:
        """Device and inode of the files that are probed, unless another may lie below them."""
        return {(file.device, file.inode) for file in self._probed}

    def take(self, received: Received) -> Note | None:
        """Deal with one message; gives what the trace is to say of it."""
        try:
            return self._take(received)
        except (ValueError, IndexError, OverflowError):
            return None  # not what it should say
        finally:
            for descriptor in received.descriptors:
                os.close(descriptor)

    def blind(self) -> Note:
        """What the trace is to say when the process that looks ended, or could not look at everything."""
        return self._unknown("the process that looks at mapped files ended, or did not finish")

    # Said once: what cannot be looked at stays so.
    def _unseen(self, process: int, reason: str) -> Note | None:
        if self._said_unseen:
            return None
        self._said_unseen = True
        return self._unknown(f"what process {process} maps cannot be looked at: {reason}")

    def _unknown(self, reason: str) -> Note:
        self.counts.files_not_probed += 1
        self.tell(f"{reason}: late files are not looked at")
        now = time.monotonic_ns()
        return Note(NOT_PROBED, now, now, None, {"file": "", "provider": "", "reason": reason})

    def _take(self, received: Received) -> Note | None:
        match received.message:
            case Again(file=file):
                key = bytes.fromhex(file)
                if len(key) == MAPPED_KEY.itemsize and any(key):
                    self.engine.tell_again(key)
            case Missed(provider=provider, reason=reason) as missed:
                return self._missed(missed, plain_text(provider, _TEXT_LIMIT), plain_text(reason, _TEXT_LIMIT))
            case Unseen(process=process, reason=reason):
                return self._unseen(process, plain_text(reason, _TEXT_LIMIT))
            case Arguments(process=process, beginning=beginning, whole=whole) as arguments:
                size = len(bytes.fromhex(beginning))
                if 0 < size <= min(whole, ARGUMENTS_LIMIT) and process > 0 and len(self.arguments) < _ARGUMENTS_KEPT:
                    self.arguments.append(arguments)
            case Found() as found:
                return self._found(received.descriptors[0], found)
        return None

    def _found(self, descriptor: int, found: Found) -> Note | None:
        groups = [group for group in self.plan.groups if group.target.build_id == found.build_id]
        groups = [group for group in groups if not group.target.is_kernel]
        if not groups:
            return None
        providers = ", ".join(sorted({group.provider for group in groups}))
        try:
            self._verify(descriptor, groups[0].target, groups)
            if self._is_probed(descriptor, groups[0]):
                return None
            return self._attach(descriptor, groups[0].target, providers, found)
        except DatacrumbsError as error:
            return self._missed(found, providers, error.message)
        except OSError as error:  # its file system, or its user, had it end so
            return self._missed(found, providers, f"it cannot be looked at: {error.strerror}")

    # In a thread, since a file system can keep its answer back.
    def _verify(self, descriptor: int, target: Target, groups: list[Group]) -> None:
        if self._hung:
            raise DatacrumbsError("a file system did not answer before")
        owners = {0, self.rules.user.uid, self.targets.owners[target]}
        problems: list[DatacrumbsError | OSError] = []
        copy, signed = os.dup(descriptor), self.targets.files[target]

        def verify() -> None:
            try:
                verify_mapped(copy, target, signed, groups, owners)
            except (DatacrumbsError, OSError) as error:
                problems.append(error)
            finally:
                os.close(copy)

        thread = threading.Thread(target=verify, daemon=True)
        thread.start()
        thread.join(_PATIENCE_SECONDS)
        if thread.is_alive():
            self._hung = True
            raise DatacrumbsError(f"its file system did not answer in {_PATIENCE_SECONDS:.0f} s")
        for problem in problems:
            raise DatacrumbsError(problem.message if isinstance(problem, DatacrumbsError) else str(problem))

    # By its inode. An overlay shows one of its own: there, the kernel says whether the file below has our probes.
    def _is_probed(self, descriptor: int, group: Group) -> bool:
        state = _state(descriptor)
        if any((file.device, file.inode) == (state.device, state.inode) for file in self._probed):
            return True
        alike = any(
            (file.size, file.modified, file.inode & _LOW) == (state.size, state.modified, state.inode & _LOW)
            and (file.overlaid or state.overlaid)
            for file in self._probed
        )
        return alike and _has_probe(descriptor, group.functions[0].place)

    def _attach(self, descriptor: int, target: Target, providers: str, found: Found) -> Note:
        if self.counts.files_late >= self.rules.limit:
            files = counted(self.rules.limit, "file was", "files were")
            raise DatacrumbsError(f"{files} probed late; late_files allows no more")
        begin = found.time
        report = self.engine.attach_late(target, f"/proc/self/fd/{descriptor}", self.rules.skip)
        end = time.monotonic_ns()
        if not report.functions:
            raise DatacrumbsError(f"none of its functions can be probed: {report.failures[0].reason}")
        state = _state(descriptor)
        self._probed.append(state)
        self.counts.files_late += 1
        path = _path(found)
        functions = counted(report.functions, "function")
        self.tell(f"probed late: {path!a}: {functions}, {max(0, end - begin) / 1e6:.1f} ms after")
        details: dict[str, str | int] = {"file": path, "provider": providers, "functions": report.functions}
        details |= {"failed": len(report.failures)} if report.failures else {}
        return Note(LATE, min(begin, end), end, None, {**details, "process": found.process})

    def _missed(self, mapped: Mapped, provider: str, reason: str) -> Note | None:
        self.counts.files_not_probed += 1
        path, moment = _path(mapped), min(mapped.time, time.monotonic_ns())
        if self.counts.files_not_probed > _NOTES_LIMIT:
            return None
        self.tell(f"not probed: {path!a}, a library of {provider}: {reason}")
        details: dict[str, str | int] = {"file": path, "provider": provider, "reason": reason}
        details["process"] = mapped.process
        return Note(NOT_PROBED, moment, moment, None, details)


class LateWatch:
    """Late files through a run: what is found, and that all is looked at.

    Args:
        finder: The process that looks.
        files: What takes its findings.
    """

    def __init__(self, finder: FinderProcess, files: LateFiles) -> None:
        self._finder = finder
        self._files = files
        self._told = False
        finder.begin(files.engine.mapping_ring, files.known)

    @property
    def wakers(self) -> list[int]:
        """Descriptors that are readable when there is something to do."""
        return [] if self._finder.is_gone else [self._finder.fileno()]

    def notes(self) -> list[Note]:
        """Deal with what was found; gives what the trace is to say of it."""
        return self._notes(self._finder.messages())

    def last_notes(self) -> list[Note]:
        """The same at the end of the run, before anything is detached."""
        return self._notes(self._finder.last_messages())

    def arguments(self) -> list[Arguments]:
        """Those of processes which were found since the last time, for the process that writes."""
        found = list(self._files.arguments)
        self._files.arguments.clear()
        return found

    @property
    def totals(self) -> dict[str, int]:
        """For the footer."""
        return asdict(self._files.counts)

    def _notes(self, messages: Iterable[Received]) -> list[Note]:
        notes = [note for note in map(self._files.take, messages) if note is not None]
        if self._finder.is_gone and not self._told:
            self._told = True
            notes.append(self._files.blind())
        return notes


_COMPARED = 4
_LOW = 0xFFFFFFFF  # an overlay may put its number of the layer above (xino)


def _state(descriptor: int) -> _Probed:
    status = os.fstat(descriptor)
    overlaid = file_system_kind(descriptor) == OVERLAY
    return _Probed(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, overlaid)


# Whether the kernel puts a breakpoint there when the file is mapped. Read by way of a pipe: a file that became shorter
# would otherwise end this process, and its own /proc/self/mem is root's.
def _has_probe(descriptor: int, place: int) -> bool:
    start = place // mmap.PAGESIZE * mmap.PAGESIZE
    with mmap.mmap(descriptor, mmap.PAGESIZE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC, offset=start) as page:
        mapped = _through_a_pipe(page, place - start)
    return mapped != os.pread(descriptor, len(mapped), place)


def _through_a_pipe(page: mmap.mmap, place: int) -> bytes:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        with memoryview(page) as memory, memory[place : place + _COMPARED] as part:
            return os.read(reading, os.write(writing, part))
    finally:
        os.close(reading)
        os.close(writing)


def _path(mapped: Mapped) -> str:
    return os.fsdecode(bytes.fromhex(mapped.path)[:_PATH_LIMIT])

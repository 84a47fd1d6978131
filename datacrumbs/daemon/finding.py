"""The process that looks at files which traced processes map, as the run's user.

It reads what a user made: mappings, build-ids, symbols. Of what it finds it says only which files are worth a look; the
process that traces checks those itself. It can open what processes of the same user have mapped, and nothing else that
the user cannot.
"""

from __future__ import annotations

import itertools
import os
import stat
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.daemon.channel import Channel, Gone
from datacrumbs.daemon.messages import ARGUMENTS_LIMIT, Again, Arguments, Found, Look, Looked, Mapped, Missed, Unseen
from datacrumbs.elf.build_id import gnu_build_id
from datacrumbs.elf.file import Tag, open_elf
from datacrumbs.elf.functions import function_names
from datacrumbs.engine.ring import MAPPING_RING_SIZE, Ring
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.contract import MappingKind
from datacrumbs.model.layouts import MAPPING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.model.plan import Group, Plan

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SEEN_LIMIT = 1 << 16
_OTHERS_LIMIT = 256
_DENIED_LIMIT = 1024
_AGAIN_SECONDS = 1.0
PATH_LIMIT = 4096
_PIECE, _PIECES = 1 << 16, 128
_STARTED, _TICK_NS = 19, 1_000_000_000 // os.sysconf("SC_CLK_TCK")  # of the fields behind the name in /proc/PID/stat


@dataclass(frozen=True, slots=True)
class WantedLibraries:
    """Libraries of a provider, by name, and by what they must define if any of the provider's is in the plan.

    Args:
        provider: Whose they are.
        names: Shell patterns of file names and sonames.
        groups: What the plan has of the provider.
    """

    provider: str
    names: frozenset[str]
    groups: tuple[Group, ...] = ()

    @property
    def functions(self) -> frozenset[str]:
        """What they define. Seldom asked for, and to go through the plan takes a copy of the memory that it is in."""
        groups = (group.functions for group in self.groups if not group.helper)
        return frozenset(function.symbol.partition("@")[0] for functions in groups for function in functions)

    def is_called(self, path: str, soname: str) -> bool:
        """Whether a file's name or soname is one of these."""
        return any(fnmatchcase(name, each) for name in (PurePath(path).name, soname) for each in self.names)


def find_files(channel: Channel, plan: Plan, *, command_lines: bool) -> None:
    """Look at what the kernel side reports, until the other process hangs up."""
    try:
        begin = channel.wait()
        (descriptor,) = begin.descriptors
        look: Look = begin.message
        known = {(device, inode) for device, inode in look.known}
        finding = _Finding(channel, plan, known)
        ring = Ring(descriptor, MAPPING_RING_SIZE)
        while True:
            message = channel.receive(finding.patience, [descriptor])
            for payload in ring.payloads():
                mapping = np.frombuffer(payload, MAPPING, 1)[0]
                if command_lines and mapping["kind"] == MappingKind.TAKEN:
                    say_arguments(channel, mapping)
                finding.look(mapping)
            finding.judge_one()
            finding.look_again(at_once=message is not None)
            if message is not None:
                while finding.waiting:
                    finding.judge_one()
                channel.send(Looked())
    except Gone:
        return


def wanted_libraries(plan: Plan) -> tuple[WantedLibraries, ...]:
    """What a library must be called, and define, to be missed when the plan does not have it.

    Functions that are only followed do not count: of a library that defines no other, no call is missing.
    """
    names: dict[str, set[str]] = {sought.provider: set(sought.names) for sought in plan.sought}
    groups: dict[str, list[Group]] = {}
    for group in plan.groups:
        if not group.target.is_kernel:
            names.setdefault(group.provider, set()).add(_pattern_of(PurePath(group.target.path).name))
            groups.setdefault(group.provider, []).append(group)
    return tuple(
        WantedLibraries(provider, frozenset(names[provider]), tuple(groups.get(provider, ())))
        for provider in sorted(names)
    )


# Of libz.so.1.2.13: libz.so*
def _pattern_of(name: str) -> str:
    stem, dot, _ = name.partition(".so")
    return f"{stem}{dot}*" if dot else name


class _Finding:
    def __init__(self, channel: Channel, plan: Plan, known: set[tuple[int, int]]) -> None:
        self._channel = channel
        self._targets = {group.target.build_id for group in plan.groups if not group.target.is_kernel}
        self._wanted = wanted_libraries(plan)
        self._known = known
        self._seen: set[tuple[int, ...]] = set()
        self._others: deque[tuple[int, str, Mapped, str]] = deque()
        self._denied: list[tuple[np.void, float]] = []

    @property
    def patience(self) -> float | None:
        """How long there is nothing to do but to wait, in seconds; None where only more to look at ends that."""
        if self._others:
            return 0.0
        return _AGAIN_SECONDS if self._denied else None

    def look_again(self, *, at_once: bool) -> None:
        """Look again at processes that could not be looked at, such as one in a new user namespace."""
        latest = float("inf") if at_once else time.monotonic() - _AGAIN_SECONDS
        due = [mapping for mapping, since in self._denied if since <= latest]
        self._denied = [(mapping, since) for mapping, since in self._denied if since > latest]
        for mapping in due:
            try:
                self._look(mapping)
            except OSError as error:
                self._say_unseen(mapping, error)

    @property
    def waiting(self) -> bool:
        """Whether there are files that may be missed, to be judged when there is time."""
        return bool(self._others)

    def judge_one(self) -> None:
        """Say whether one of the files that the plan does not have is one of its libraries."""
        if self._others:
            descriptor, path, mapped, reason = self._others.popleft()
            self._missed(descriptor, path, mapped, reason)
            os.close(descriptor)

    def look(self, mapping: np.void) -> None:
        """Look at the files of one record of the ring."""
        try:
            self._look(mapping)
        except OSError as error:
            if len(self._denied) < _DENIED_LIMIT:
                self._denied.append((mapping, time.monotonic()))
            else:
                self._say_unseen(mapping, error)

    def _say_unseen(self, mapping: np.void, error: OSError) -> None:
        self._channel.send(Unseen(int(mapping["process"]), str(error.strerror)))

    def _look(self, mapping: np.void) -> None:
        try:
            for place in _places(mapping):
                with suppress(FileNotFoundError):  # unmapped meanwhile
                    self._look_at(place, mapping)
        except (FileNotFoundError, ProcessLookupError):  # it ended: another process that maps the file is looked at
            self._channel.send(Again(mapping["file"].tobytes().hex()))

    def _look_at(self, place: str, mapping: np.void) -> None:
        reference = os.open(place, os.O_PATH | os.O_CLOEXEC)
        try:
            status = os.fstat(reference)
            content = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if not stat.S_ISREG(status.st_mode) or content in self._seen or content[:2] in self._known:
                return
            if len(self._seen) >= _SEEN_LIMIT:
                self._seen.clear()
            self._seen.add(content)
            path = os.readlink(place).removesuffix(" (deleted)")[:PATH_LIMIT]  # noqa: PTH115 - may be no path here
            mapped = Mapped(os.fsencode(path).hex(), int(mapping["time"]), int(mapping["process"]))
            self._open(reference, path, mapped)
        finally:
            os.close(reference)

    def _open(self, reference: int, path: str, mapped: Mapped) -> None:
        try:
            descriptor = os.open(f"/proc/self/fd/{reference}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self._say_missed(path, "", None, mapped, f"it cannot be read: {error.strerror}")
            return
        with open(descriptor, "rb", closefd=False) as stream:
            build_id = gnu_build_id(stream)
        if build_id in self._targets:
            found = Found(mapped.path, mapped.time, mapped.process, build_id)
            self._channel.send(found, descriptors=[descriptor])
            os.close(descriptor)
            return
        reason = "the plan does not have it" if build_id else "it has no build-id, by which the plan's files are known"
        self._others.append((descriptor, path, mapped, reason))
        if len(self._others) > _OTHERS_LIMIT:
            self.judge_one()

    def _missed(self, descriptor: int, path: str, mapped: Mapped, reason: str) -> None:
        soname, functions = "", frozenset[str]()
        with suppress(DatacrumbsError), open_elf(descriptor) as elf:
            soname = "".join(elf.dynamic_texts(Tag.SONAME)[:1])
            if any(wanted.is_called(path, soname) for wanted in self._wanted):
                functions = function_names(elf)
        self._say_missed(path, soname, functions, mapped, reason)

    def _say_missed(
        self, path: str, soname: str, functions: frozenset[str] | None, mapped: Mapped, reason: str
    ) -> None:
        for wanted in self._wanted:
            if not wanted.is_called(path, soname):
                continue
            expected = wanted.functions if functions is not None else frozenset()
            if not expected or functions is None or not expected.isdisjoint(functions):
                missed = Missed(mapped.path, mapped.time, mapped.process, wanted.provider, reason)
                self._channel.send(missed)


# What a process shows there may be a title that it has written over its arguments, and filled up with zeros.
def say_arguments(channel: Channel, mapping: np.void) -> None:
    process = int(mapping["process"])
    try:
        with Path(f"/proc/{process}/cmdline").open("rb", buffering=0) as stream:
            beginning = stream.read(ARGUMENTS_LIMIT)
            rest = iter(lambda: len(stream.read(_PIECE)), 0)
            whole = len(beginning) + sum(itertools.islice(rest, _PIECES))
        status = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:  # it has ended: they are not known
        return
    if whole == len(beginning):
        beginning = beginning.rstrip(b"\0") + b"\0" * bool(beginning)
        whole = len(beginning)
    began = int(status.rpartition(b")")[2].split()[_STARTED]) * _TICK_NS
    asleep = -time.monotonic_ns() + time.clock_gettime_ns(time.CLOCK_BOOTTIME)  # in this order: not less than it was
    if beginning and began <= int(mapping["time"]) + asleep:
        channel.send(Arguments(process, beginning.hex(), whole))


# Of the mapping, or of all that the process can execute, as links that lead to the mapped files themselves.
def _places(mapping: np.void) -> Iterator[str]:
    directory = f"/proc/{mapping['process']}/map_files"
    start = int(mapping["address"])
    end = start + (int(mapping["length"]) + _PAGE - 1) // _PAGE * _PAGE
    place = f"{directory}/{start:x}-{end:x}"
    if mapping["kind"] == MappingKind.FILE and os.path.lexists(place):
        yield place
        return
    for line in Path(f"/proc/{mapping['process']}/maps").read_bytes().split(b"\n")[:-1]:
        bounds, rights, _, _, inode, *_ = line.split(maxsplit=5)
        first, last = (int(bound, 16) for bound in bounds.split(b"-"))
        is_meant = mapping["kind"] != MappingKind.FILE or first <= start < last
        if b"x" in rights and inode != b"0" and is_meant:
            yield f"{directory}/{first:x}-{last:x}"

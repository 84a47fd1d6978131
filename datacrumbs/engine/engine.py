"""The engine: a verified plan becomes a loaded program; it attaches and counts."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.elf.functions import elf_functions
from datacrumbs.engine import complaints, counters, counting, function_table, kernel_programs, links, source
from datacrumbs.engine.attach import (
    Attached,
    AttachFailure,
    Phase,
    PreparedGroup,
    Programs,
    attach_group,
    prepare_group,
)
from datacrumbs.engine.bpf_objects import possible_processors
from datacrumbs.engine.loader import LoadedImage, VerifierError
from datacrumbs.engine.method_choice import EarlyLinks
from datacrumbs.engine.methods import TITLES, AttachMethod
from datacrumbs.engine.preparation import prepare
from datacrumbs.engine.ring import RingMaps
from datacrumbs.model.contract import GROUP_NAME_SIZE, Setting, Take
from datacrumbs.model.layouts import COUNT, TAKEN
from datacrumbs.model.plan import Attach

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from datacrumbs.engine.bpf_objects import ProgramKind
    from datacrumbs.model.plan import Plan, Target
    from datacrumbs.model.record import FunctionCounts
    from datacrumbs.probefile.targets import OpenTargets
    from datacrumbs.system import SystemConfiguration

_MIB = 1 << 20
_ITERATOR = "bpf_iter__task"
_TAKE_RUNNING = "dc_take_running"
_ASKED_MOST = 1024  # as `dc_asked` holds
_PLACE_DESCRIPTORS = 2  # the links of a function's entry and return, where each place is a link of its own
_OTHER_DESCRIPTORS = 512
_PHASES = {
    "dc_system_call_enter": Phase.ENTRY,
    "dc_system_call_exit": Phase.RETURN,
    "dc_signal_deliver": Phase.RETURN,
}
_WAKE_SHARE = 16  # of the ring


@dataclass(frozen=True, slots=True)
class Marks:
    """Which processes are traced.

    Args:
        owner: User id whose processes may be traced.
        names: By which a mark may name this run.
        unnamed: Whether marks are taken that name no run.
        group: Inode number of the control group whose processes are traced without marks; 0 for none.
        awaited: Names of that group where it does not exist yet, each with its parent's before it, ``scope/job``; once
            it is there, marks are taken from within only.
        maker: User id that makes it; root may always.
    """

    owner: int
    names: tuple[str, ...] = ()
    unnamed: bool = True
    group: int = 0
    awaited: tuple[str, ...] = ()
    maker: int = 0


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What the engine did with a plan: how it attached, how much, what it could not, and how long attaching took."""

    method: str
    functions: int
    failures: tuple[AttachFailure, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class _Program:
    plan: Plan
    method: AttachMethod
    late: bool
    flags: Sequence[str]
    kinds: Mapping[str, ProgramKind]
    loaded: LoadedImage


class Engine:
    """One loaded program.

    The order of calls is `attach`, `detach`, then `counts` and `totals`, and `close`. Its rings are read with
    `Rings` all the time, and after `detach` until they give nothing more.

    Args:
        program: What `load` compiled.
        configuration: Sizes of rings and tables.
        marks: Whose processes may be traced, and by which marks.

    Attributes:
        maps: The program's maps, by their names.

    """

    def __init__(self, program: _Program, configuration: SystemConfiguration, marks: Marks) -> None:
        self._plan = program.plan
        self._method = program.method
        self._late = program.late
        self._flags = program.flags
        self._loaded = program.loaded
        self.maps = program.loaded.maps
        self._kinds = program.kinds
        self._group = marks.group
        self._attached = Attached()
        self._fill_tables(marks, configuration)
        self._set(Setting.WAKE, (configuration.call_ring_mib << 20) // _WAKE_SHARE)
        for setting, value in counting.guard_settings(configuration, possible_processors()).items():
            self._set(setting, value)
        self._ring_maps = RingMaps(
            self.maps["dc_calls"].descriptor,
            configuration.call_ring_mib * _MIB,
            self.maps["dc_name_ring"].descriptor,
            configuration.name_ring_mib * _MIB,
        )
        self._profiles = counting.Profiles(self.maps["dc_profiles"], lambda epoch: self._set(Setting.EPOCH, epoch))

    @classmethod
    def load(
        cls,
        plan: Plan,
        configuration: SystemConfiguration,
        marks: Marks,
        state: Path,
        *,
        attach_method: AttachMethod = AttachMethod.AUTO,
        tell: Callable[[str], None] = lambda _: None,
        program_of: Plan | None = None,
    ) -> Engine:
        """Compile the program of a plan, or take the one that was kept, and begin to load it.

        Args:
            plan: A verified plan.
            configuration: Sizes of rings and tables.
            marks: Whose processes may be traced, and by which marks.
            state: Directory for what is kept between runs.
            attach_method: How library functions are attached.
            tell: Takes a line about what takes time, or about a kept program that cannot be used.
            program_of: A plan whose program is taken; it has every kind of probe that ``plan`` has, and its snippets.

        Raises:
            DatacrumbsError: (exit 1) when bcc, headers or type information are missing, or when the
                kernel does not take the program; (exit 3) when the plan asks of the kernel for what it does not
                declare.

        """
        made = prepare(program_of or plan, configuration, state, attach_method=attach_method, tell=tell)
        loaded = LoadedImage(made.image, source.map_entries(plan, configuration))
        kinds = kernel_programs.kinds(
            plan, made.method, late=made.late, members=bool(marks.group or marks.awaited), awaited=bool(marks.awaited)
        )
        loaded.begin(kinds.items())
        return cls(_Program(plan, made.method, made.late, made.flags, kinds, loaded), configuration, marks)

    def attach(self, targets: OpenTargets, clients: Sequence[Path], skip: Collection[int] = ()) -> EngineReport:
        """Attach everything, the way in for processes last.

        Args:
            targets: The plan's; they may be closed afterwards.
            skip: Identities of functions that are known not to attach.
            clients: Files with the functions of `kernel_programs.CLIENT_PROGRAMS`: the client library
                and the launcher.

        """
        self._iterator()  # now, so that what a kernel lacks is known at the start
        with ExitStack() as stack:
            early = EarlyLinks()
            stack.callback(early.close)
            prepared = self._prepared(targets.path, skip)
            for name, tracepoints in kernel_programs.RAW_TRACEPOINTS.items():
                if name in self._kinds:
                    made = links.attach_raw_tracepoints(self._descriptor(name), tracepoints)
                    self._attached.links[_PHASES.get(name, Phase.LIFE)].extend(made)
            for name in self._kinds:
                self._descriptor(name)  # some still load: what follows is the time of attaching alone
            early.stop()
            links.allow_descriptors(_PLACE_DESCRIPTORS * _places(prepared) + _OTHER_DESCRIPTORS)
            begin = time.perf_counter()
            for group in prepared:
                attach_group(group, Programs(self._descriptor, self._method), self._attached)
            seconds = time.perf_counter() - begin
            for client in clients:
                self._attach_client(client)
        return EngineReport(TITLES[self._method], self._attached.functions, tuple(self._attached.failures), seconds)

    def take(self, processes: Mapping[int, int], group: int = 0) -> dict[int, Take]:
        """Trace processes that run already, and from now on those of the control group; call after `attach`.

        Children that they fork from now on are traced as well. So are processes that programs have asked for (`asks`),
        which get the answer.

        Args:
            processes: Process id -> when it began, in ticks since the machine's start, as /proc has it.
            group: Inode number of the control group, where that was awaited and is there.

        Returns:
            What became of each process that was found.
        """
        for process, began in processes.items():
            self.maps["dc_wanted"].put(process.to_bytes(4, "little"), began.to_bytes(8, "little"))
        if group or self._group:
            self._set(Setting.GROUP, group or self._group)  # before the look at those that run, so that none is between
        asked = self._unanswered()
        program = self._loaded.program(_TAKE_RUNNING, self._loaded.iterator_kind())
        taken = np.frombuffer(links.read_iterator(program), TAKEN)
        for process in asked.keys() - set(taken["process"].tolist()):
            self._answer(process, asked[process], Take.ENDED)
        for process in processes:
            self.maps["dc_wanted"].remove(process.to_bytes(4, "little"))
        return {int(row["process"]): Take(int(row["outcome"])) for row in taken}

    # Process -> when it began: what programs have asked for, and no look has answered.
    def _unanswered(self) -> dict[int, int]:
        processes, values = self.maps["dc_asked"].items(_ASKED_MOST)
        rows = values.view(np.uint64)
        is_open = (rows[:, 1] == Take.ASKED) & (processes != 0)
        return dict(zip(processes[is_open].tolist(), rows[is_open, 0].tolist(), strict=True))

    def _answer(self, process: int, began: int, outcome: Take) -> None:
        value = began.to_bytes(8, "little") + int(outcome).to_bytes(8, "little")
        self.maps["dc_asked"].put(process.to_bytes(4, "little"), value)

    def load_the_rest(self) -> bool:
        """Load what is needed only if somebody asks, in the background; gives whether that is done.

        Verifying it takes tens of milliseconds, for which no start waits. If the kernel refuses it, `take` says so.
        """
        kind = self._loaded.iterator_kind()
        self._loaded.begin([(_TAKE_RUNNING, kind)])
        return self._loaded.has_loaded(_TAKE_RUNNING, kind)

    @property
    def asks(self) -> int:
        """How often programs of the run's user have asked that a running process be traced; then `take` decides."""
        return int(self.maps["dc_asks"].read(1).view(np.uint64)[0, 0])

    def attach_late(self, target: Target, path: str, skip: Collection[int] = ()) -> EngineReport:
        """Attach what the plan has for a target to another file, which has been verified to hold the same.

        Args:
            target: One of the plan's.
            path: The other file.
            skip: As for `attach`.
        """
        before, failed = self._attached.functions, len(self._attached.failures)
        begin = time.perf_counter()
        for group in self._prepared(lambda other: path if other == target else None, skip):
            attach_group(group, Programs(self._descriptor, self._method), self._attached)
        seconds = time.perf_counter() - begin
        failures = tuple(self._attached.failures[failed:])
        return EngineReport(TITLES[self._method], self._attached.functions - before, failures, seconds)

    def keep_as(self, plan: Plan) -> None:
        """From now on keep as much of each call as this plan says, which has the same functions."""
        self.maps["dc_functions"].fill(function_table.describe(plan))

    @property
    def attaches_late_by_perf(self) -> bool:
        """Whether `attach_late` makes perf events: USDT places, and functions where there are no multi links."""
        usdt = any(group.attach is Attach.USDT for group in self._plan.groups)
        return self._late and (usdt or self._method is AttachMethod.PERF)

    @property
    def mapping_ring(self) -> int:
        """Descriptor of the ring of mappings (`contract.MAPPING`); -1 where late files do not matter."""
        return self.maps["dc_mapping_ring"].descriptor if self._late else -1

    def tell_again(self, file: bytes) -> None:
        """Have the kernel side report a file again when it is mapped again; ``file``: as `contract.MAPPED_KEY`."""
        self.maps["dc_mapped"].remove(file)

    @property
    def ring_maps(self) -> RingMaps:
        """The rings, for `Rings` in this process or in another one."""
        return self._ring_maps

    def profiles(self) -> NDArray[np.void]:
        """What was added up instead of recorded since the last time, as record.PROFILE.

        Names that profiles refer to are in the rings by then.
        """
        return self._profiles.take()

    def detach(self) -> None:
        """Stop intake: no probe stays in the kernel; records already in the rings stay readable."""
        self._attached.close()

    def lost(self) -> int:
        """How many calls were lost so far; cheap."""
        return int(self.maps["dc_losses"].read(1).view(np.uint64)[0, 0])

    def losses(self) -> NDArray[np.int64]:
        """Calls lost so far, of shape (functions, counters.LOSSES)."""
        return counters.losses(self._raw_counts())

    def counts(self) -> list[FunctionCounts]:
        """Conservation counts per function; call after `detach`."""
        raw = self._raw_counts()
        inside = counters.in_flight(links.read_iterator(self._iterator()), len(raw))
        return counters.function_counts(raw, inside)

    # Of the groups for whose target there is a path.
    def _prepared(self, path_of: Callable[[Target], str | None], skip: Collection[int]) -> list[PreparedGroup]:
        first, prepared = 0, []
        operand_rows = function_table.operand_rows(self._plan)
        for group in self._plan.groups:
            path = path_of(group.target)
            if path is not None:
                prepared.append(prepare_group(group, path, first, skip, operand_rows))
            first += len(group.functions)
        return prepared

    def _raw_counts(self) -> NDArray[np.void]:
        functions = len(self._plan.functions)
        if not functions:
            return np.zeros((0, 1), COUNT)
        return np.asarray(self.maps["dc_counts"].read(functions).view(COUNT)[..., 0])

    def totals(self) -> dict[str, int]:
        """What was counted for the run as a whole, by `counters.TOTALS`."""
        values = self.maps["dc_totals"].read(len(counters.TOTALS)).view(np.uint64)[:, 0]
        return {name: int(value) for name, value in zip(counters.TOTALS, values, strict=True)}

    def close(self) -> None:
        """Free everything."""
        self.detach()
        self._profiles.close()
        self._loaded.close()

    def _fill_tables(self, marks: Marks, configuration: SystemConfiguration) -> None:
        self.maps["dc_functions"].fill(function_table.describe(self._plan))
        self.maps["dc_system_calls"].fill(function_table.system_call_table(self._plan, os.uname().machine))
        self._set(Setting.OWNER, marks.owner)
        self._set(Setting.UNNAMED, int(marks.unnamed))
        for name in marks.names:
            self.maps["dc_run_names"].put(os.fsencode(name), b"\1")
        for name in marks.awaited:
            parent, _, own = os.fsencode(name).rpartition(b"/")
            self.maps["dc_group_names"].put(parent.ljust(GROUP_NAME_SIZE, b"\0") + own, b"\1")
        self._set(Setting.WITHIN, int(bool(marks.awaited)))
        self._set(Setting.MAKER, marks.maker)
        self._set(Setting.MINIMUM_DURATION, self._plan.filters.minimum_duration_ns)
        self._set(Setting.COMMAND_LINES, int(configuration.command_lines and self._plan.filters.command_lines))

    def _set(self, setting: Setting, value: int) -> None:
        self.maps["dc_settings"].set(setting, value.to_bytes(8, "little"))

    def _descriptor(self, name: str) -> int:
        try:
            return self._loaded.program(name, self._kinds[name])
        except VerifierError as error:
            raise complaints.of_verifier(error, self._plan, self._flags) from None

    def _iterator(self) -> int:
        return self._loaded.program(_ITERATOR, self._loaded.iterator_kind())

    def _attach_client(self, client: Path) -> None:
        offsets = {function.name: function.offset for function in elf_functions(client)}
        for symbol, name in kernel_programs.CLIENT_PROGRAMS.items():
            if symbol not in offsets:
                continue
            site = links.sites([offsets[symbol]], [0])
            if self._method is not AttachMethod.PERF:
                link = links.attach_uprobe_multi(self._descriptor(name), os.fspath(client), site, at_return=False)
            else:
                link = links.attach_uprobe(self._descriptor(name), os.fspath(client), site[0], at_return=False)
            self._attached.links[Phase.CLIENT].append(link)


def _places(prepared: Iterable[PreparedGroup]) -> int:
    return sum(
        1 + len(function.more_places) + len(function.return_places)
        for group in prepared
        if group.group.attach is not Attach.SYSCALL
        for _, function in group.wanted
    )

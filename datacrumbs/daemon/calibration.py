"""What tracing a call costs on this node: measured once for each kernel, processor and program, and kept.

The costs are those of the run's own program, which a process beside the run loads once more for itself. Before
anything is attached it measures bare calls. When the run is ready, it attaches to calls of its own, is traced by itself
alone, and measures them again. The run does not wait for it, and takes what is known at its end.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import signal
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from datacrumbs import client
from datacrumbs.daemon import capture_ways
from datacrumbs.daemon.child_process import has_ended
from datacrumbs.daemon.chosen_processes import GROUP_MOUNTS
from datacrumbs.daemon.cost_cache import CostCache, decode, encode
from datacrumbs.elf.functions import elf_functions, elf_target
from datacrumbs.engine import source
from datacrumbs.engine.engine import Engine, Marks
from datacrumbs.errors import DatacrumbsError
from datacrumbs.installed import installed
from datacrumbs.kernel.syscalls import system_calls
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Result, Returns, Role, Target
from datacrumbs.probefile.targets import OpenTargets
from datacrumbs.secure import privilege
from datacrumbs.trace.costs import CallCost
from datacrumbs.trace.lines import LIBRARY, load_library

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datacrumbs.daemon.run_request import RunRequest
    from datacrumbs.model.plan import Mode

_CALLS, _ROUNDS = 23, 61  # rounds that are short are seldom disturbed
_LEAST, _USUAL = 0.1, 0.5
"""Shares of the rounds: what disturbs a round makes it longer, so the shorter ones say more."""
_PATIENCE_SECONDS = 0.1
_LOOK_SECONDS = 0.001
_SHORT_SECONDS = 1.0
"""Runs that are over by then pay for no second program."""
_LONGEST_SECONDS = 60
_NICE = 10
_RINGS_MIB = 16  # room for all calls that are measured
_VARIANTS = 4
_CALIBRATED = frozenset({Attach.SYSCALL, Attach.UPROBE})
_LARGEST_MARGIN = 0.5  # of a cost that is kept
_ANSWER = 1 << 16
_BARE = b"b"
"""Says that bare calls have been measured."""
_ENDED = "the process that would do it ended"
CPU_INFO, OWN_GROUPS = Path("/proc/cpuinfo"), Path("/proc/self/cgroup")
_BEGINNING = 4096
_CPU_MODEL = ("model name", "CPU part", "cpu model")
_SYSTEM_CALLS = ("getppid", "write")
_FUNCTIONS = ("dc_cost_emulated", "dc_cost_stepped", "dc_cost_emulated_entry", "dc_cost_stepped_entry")
_KNOWN = (*_SYSTEM_CALLS, *_FUNCTIONS)
"""In the order of the C (`costs.c`)."""

Measured = dict[str, "Times"]


@dataclass(frozen=True, slots=True)
class Times:
    """Of a call in many rounds, in nanoseconds: about the shortest, and the middle one."""

    least: float
    usual: float


class Calibration:
    """The costs of a run's calls: those that were kept, or those that a process beside the run finds.

    Args:
        request: The run's.
        plan: What it probes, with its modes.
    """

    def __init__(self, request: RunRequest, plan: Plan) -> None:
        self._kept = CostCache(request.paths.state / "costs", costs_key(request, plan))
        self._costs = self._kept.load()
        self._reason = ""
        self._pid = 0
        if self._costs:
            return
        if not any(group.attach in _CALIBRATED for group in plan.groups):
            self._reason = "the plan has neither system calls nor library functions"
            return
        if _is_member(request.chosen.group):
            self._reason = "the process that would do it is in the control group that is traced"
            return
        self._reason = "the run ended before it was measured"
        self._answer, answer = os.pipe2(os.O_CLOEXEC)
        go, self._go = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if not self._pid:
            _be_the_calibration(request, plan, self._kept, go, answer)
        os.close(answer)
        os.close(go)

    def before_attaching(self) -> None:
        """Wait for a moment until bare calls have been measured, which is usually done by now."""
        if not self._pid:
            return
        os.set_blocking(self._answer, False)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (said := self._hear()) is None and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        if said != _BARE:
            busy = "the machine was too busy when the run began"
            self._reason = busy if said is None else _ENDED
            self.close()

    def begin(self) -> None:
        """Have traced calls measured: the run is ready."""
        if self._pid:
            with suppress(BrokenPipeError):
                os.write(self._go, b"g")

    def result(self) -> tuple[Mapping[str, CallCost], str]:
        """Way of capture -> cost, and why there are none; what is not known by now is not waited for."""
        said = self._hear() if self._pid else None
        if said == b"":
            self._reason = _ENDED
        elif said:
            with suppress(ValueError):
                self._costs, self._reason = decode(said)
        return self._costs, self._reason

    def close(self) -> None:
        """End the process; idempotent."""
        if self._pid:
            # One that has answered keeps what it found, which takes a moment.
            if not (self._costs and has_ended(self._pid, _PATIENCE_SECONDS)):
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
            os.close(self._answer)
            os.close(self._go)
            self._pid = 0

    # Nothing yet is None, and of a process that has ended there is no more.
    def _hear(self) -> bytes | None:
        try:
            return os.read(self._answer, _ANSWER)
        except BlockingIOError:
            return None


def costs_key(request: RunRequest, plan: Plan) -> str:
    system = os.uname()
    groups = sorted({(group.attach, group.mode, group.sample) for group in plan.groups})
    parts: list[object] = [system.release, system.version, system.machine, _processor(), source.assemble(plan), groups]
    parts += [request.attach_method, request.configuration.late_files > 0, bool(plan.sought), _CALLS, _ROUNDS]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


# Of a machine with many processors, the whole file takes milliseconds.
def _processor() -> str:
    with suppress(OSError), CPU_INFO.open("rb") as stream:
        for line in os.read(stream.fileno(), _BEGINNING).decode("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in _CPU_MODEL:
                return value.strip()
    return ""


def _is_member(group: int) -> bool:
    if not group:
        return False
    own = OWN_GROUPS.read_text(encoding="utf-8", errors="surrogateescape").rpartition("0::/")[2].rstrip("\n")
    above = [each for mount in GROUP_MOUNTS for each in (mount / own, *(mount / own).parents)]
    return any(each.exists() and each.stat().st_ino == group for each in above)


# It keeps root's rights while it works, and ends itself if that takes too long.
def _be_the_calibration(request: RunRequest, plan: Plan, kept: CostCache, go: int, answer: int) -> NoReturn:
    try:
        privilege.close_others([go, answer])
        privilege.leave_terminal()
        signal.alarm(_LONGEST_SECONDS)
        privilege.end_with_parent(signal.SIGKILL)
        costs, reason = _outcome(request, plan, go, answer)
        os.write(answer, encode(costs, reason))
        if costs and are_exact(costs):
            kept.save(costs)
    except Exception:  # noqa: BLE001 - the end of the process would hide it
        traceback.print_exc()
    finally:
        os._exit(0)


# The costs, or why there are none.
def _outcome(request: RunRequest, plan: Plan, go: int, answer: int) -> tuple[dict[str, CallCost], str]:
    try:
        return _calibrate(request, plan, go, answer), ""
    except TooBusyError:
        return {}, "the machine was too busy"
    except (DatacrumbsError, OSError) as error:
        return {}, str(error)


class TooBusyError(Exception):
    """What was measured says nothing."""


def _calibrate(request: RunRequest, plan: Plan, go: int, answer: int) -> dict[str, CallCost]:
    # The run may soon be attached: everything else comes later.
    null = os.open(os.devnull, os.O_WRONLY)
    library = load_library()
    bare = _measured(library, _KNOWN, null)
    os.write(answer, _BARE)
    if not os.read(go, 1):
        raise TooBusyError
    time.sleep(_SHORT_SECONDS)  # the end of the run ends this process
    with suppress(OSError):  # the filter of a unit refuses it
        os.nice(_NICE)
    own = _own_plan(plan)
    names = [function.name for function in own.functions]
    gated = _measured(library, names, null)
    name = f"calibration-{os.getpid()}"
    configuration = replace(request.configuration, call_ring_mib=_RINGS_MIB, name_ring_mib=1, profiles=1024)
    marks = Marks(os.getuid(), (name,), unnamed=False)
    state, is_split = request.paths.state, os.uname().machine == "x86_64"
    engine = Engine.load(own, configuration, marks, state, attach_method=request.attach_method, program_of=plan)
    try:
        with OpenTargets(own) as targets:
            engine.attach(targets, [client.client_library()])
        twice = _measured(library, names, null)
        _mark(name)
        costs: dict[str, CallCost] = {}
        for mode, sample in _variants(plan):
            groups = tuple(replace(group, mode=mode, sample=sample) for group in own.groups)
            engine.keep_as(replace(own, groups=groups))
            traced = _measured(library, names, null)
            costs |= find_costs(bare, gated, twice, traced, capture_ways.variant(mode, sample), is_split=is_split)
    finally:
        engine.close()
    return costs


# The same kinds of probes as the run's, on calls of this process.
def _own_plan(plan: Plan) -> Plan:
    kinds = {group.attach for group in plan.groups}
    groups = []
    if Attach.SYSCALL in kinds:
        numbers = {call.name: call.number for call in system_calls(os.uname().machine)}
        arguments = {"write": (Argument(0, "fd", "int", Role.FD, 4), Argument(2, "count", "size_t", Role.COUNT))}
        functions = tuple(
            Function(name, name, "SYS", numbers[name], arguments=arguments.get(name, ()), result=Result.BYTES)
            for name in _SYSTEM_CALLS
        )
        groups.append(Group("calibration", "calibration", Attach.SYSCALL, Target("", os.uname().release), functions))
    library = installed("data", LIBRARY)
    places = {function.name: function.offset for function in elf_functions(library)}
    if Attach.UPROBE in kinds and _FUNCTIONS[0] in places:
        value = (Argument(0, "value"),)
        functions = tuple(
            Function(
                name,
                name,
                "CALIBRATION",
                places[name],
                arguments=value,
                returns=Returns.NOT_CALLED if name.endswith("_entry") else Returns.PROBED,
            )
            for name in _FUNCTIONS
        )
        groups.append(Group("calibration", "calibration", Attach.UPROBE, elf_target(library), functions))
    return Plan((), tuple(groups), plan.snippets)


def _variants(plan: Plan) -> list[tuple[Mode, int]]:
    measured = [group for group in plan.groups if group.attach in _CALIBRATED]
    return list(dict.fromkeys((group.mode, group.sample) for group in measured))[:_VARIANTS]


def _measured(library: ctypes.CDLL, names: Sequence[str], descriptor: int) -> dict[str, Times]:
    found = {}
    for name in names:
        times = np.zeros(_ROUNDS, np.uint64)
        place = ctypes.c_void_p(times.ctypes.data)
        if library.dc_costs_measure(_KNOWN.index(name), descriptor, _CALLS, _ROUNDS, place) == 0:
            least, usual = np.quantile(times / _CALLS, (_LEAST, _USUAL))
            found[name] = Times(float(least), float(usual))
    return found


# The client library marks the process that loads it.
def _mark(name: str) -> None:
    os.environ["DATACRUMBS_RUN_ID"] = name
    ctypes.CDLL(str(client.client_library())).datacrumbs_start()


def find_costs(
    bare: Measured, gated: Measured, twice: Measured, traced: Measured, end: str, *, is_split: bool
) -> dict[str, CallCost]:
    """Way of capture -> what a call costs.

    Args:
        bare: Before anything was attached; each by the name of the function.
        gated: With the run attached, in a process that is not traced.
        twice: With both attached, likewise.
        traced: In the process that this one traces.
        end: `ways.variant`.
        is_split: Whether it is known of a function which of the two ways of library functions is its.

    Raises:
        TooBusyError: The figures say nothing.
    """
    nothing = Times(0, 0)
    intervals = {
        # That it is not traced costs a process something at every system call, but only at functions that are probed.
        name: _interval(bare[name], *((gated[name], twice[name]) if name in _SYSTEM_CALLS else (nothing,) * 2), calls)
        for name, calls in traced.items()
    }
    members: dict[str, tuple[str, ...]] = {capture_ways.SYSTEM_CALL: _SYSTEM_CALLS}
    for returns, (emulated, stepped) in ((True, _FUNCTIONS[:2]), (False, _FUNCTIONS[2:])):
        plain, single = (capture_ways.library_way(returns=returns, stepped=each) for each in (False, True))
        members |= {plain: (emulated,), single: (stepped,)} if is_split else {plain: (emulated, stepped)}
    costs = {}
    for way, names in members.items():
        found = [intervals[name] for name in names if name in intervals]
        if found:
            least, most = min(low for low, _ in found), max(high for _, high in found)
            costs[way + end] = CallCost.between(max(least, 0.0), most)
    if any(cost.bounds[1] <= 0 for cost in costs.values()):
        raise TooBusyError
    return costs


def are_exact(costs: Mapping[str, CallCost]) -> bool:
    """Whether costs are worth keeping for further runs."""
    return all(cost.margin <= cost.nanoseconds * _LARGEST_MARGIN for cost in costs.values())


# What the run itself costs this process, which it does not trace, is in `traced` beside what tracing costs: as much as
# the second one added for a process that none of them traces.
def _interval(bare: Times, gated: Times, twice: Times, traced: Times) -> tuple[float, float]:
    least, most = max(0.0, twice.least - gated.usual), max(0.0, twice.usual - gated.least)
    return traced.least - bare.usual - most, traced.usual - bare.least - least

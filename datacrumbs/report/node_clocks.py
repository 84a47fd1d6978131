"""How far the clocks of a job's nodes may be apart, as the nodes' kernels say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from datacrumbs.output import counted, first_few
from datacrumbs.trace.clocks import SYNCHRONISED, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datacrumbs.trace.clocks import Clock, ClockSetter
    from datacrumbs.trace.reader import TraceFile


@dataclass(frozen=True, slots=True)
class NodeClock:
    """A node's clock over its traces.

    Args:
        state: As in `trace.clocks.Clock`: the worst of all readings.
        max_error_us: The most that it is wrong, of all readings, as the kernel or what sets it says; None unless it is
            synchronised.
        source: The hardware that is read, or empty.
        step_us: By how much it was set during a run, 0 where it was not.
        set_by: What sets it and from where, such as ``chrony from 192.0.2.1, stratum 2``; empty where it is not known.
    """

    state: str
    max_error_us: int | None
    source: str
    step_us: int
    set_by: str = ""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of nodes.

    Args:
        nodes: Host -> its clock.
        bound_us: Two of them are no further apart than this; None where that is not known.
        by: What says so.
    """

    nodes: Mapping[str, NodeClock]
    bound_us: int | None
    by: str = "the nodes' kernels"

    def described(self) -> list[str]:
        """Lines for people; none for a single node whose clock was not set."""
        lines = [
            f"node {host}: its clock was set by {node.step_us / 1e6:+,.3f} s during the run; all times are those of "
            "the clock after that"
            for host, node in self.nodes.items()
            if node.step_us
        ]
        if len(self.nodes) < 2:
            return lines
        setters = Counter(node.set_by for node in self.nodes.values() if node.set_by)
        if setters:
            some = "; ".join(f"{name} ({counted(number, 'node')})" for name, number in setters.most_common(_SHOWN))
            lines.append(f"clocks set by {some}{'; and others' if len(setters) > _SHOWN else ''}")
        if self.bound_us is not None:
            return [
                f"clocks of {len(self.nodes)} nodes: within {self.bound_us:,} us of each other, by {self.by}",
                *lines,
            ]
        states = {host: node.state for host, node in self.nodes.items() if node.state != SYNCHRONISED}
        some = first_few([f"{host} {state}" for host, state in sorted(states.items())], _SHOWN)
        return [f"clocks of {len(self.nodes)} nodes: it is not known how far they are apart ({some})", *lines]

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        nodes = {
            host: {"state": node.state, "max_error_us": node.max_error_us, "source": node.source}
            | {"step_us": node.step_us, "set_by": node.set_by}
            for host, node in self.nodes.items()
        }
        return {"nodes": nodes, "bound_us": self.bound_us, "by": self.by if self.bound_us is not None else ""}

    def orders(self, moments: Sequence[int]) -> bool:
        """Whether the clocks are close enough to say in which order moments of different nodes were."""
        ordered = sorted(moments)
        gaps = [later - earlier for earlier, later in pairwise(ordered)]
        return not gaps or (self.bound_us is not None and min(gaps) > self.bound_us)


_SHOWN = 3


def clocks_of(files: Sequence[TraceFile]) -> Clocks:
    """What the readings in traces say of their nodes' clocks."""
    nodes = {host: _node([file for file in files if file.host == host]) for host in sorted({f.host for f in files})}
    errors = sorted((node.max_error_us for node in nodes.values() if node.max_error_us is not None), reverse=True)
    known = len(errors) == len(nodes)
    return Clocks(nodes, sum(errors[:2]) if known else None)


def _node(files: Sequence[TraceFile]) -> NodeClock:
    readings = [reading.clock for file in files for reading in file.clocks]
    states = {clock.state for clock in readings} or {UNKNOWN}
    state = SYNCHRONISED if states == {SYNCHRONISED} else max(states - {SYNCHRONISED})
    errors = [_error_us(clock) for clock in readings]
    known = state == SYNCHRONISED and None not in errors
    steps = [file.correction.step_us for file in files if file.correction.step_us]
    sources = dict.fromkeys(clock.source for clock in readings if clock.source)
    worst = max((error for error in errors if error is not None), default=0) if known else None
    setters = dict.fromkeys(_described(clock.setter) for clock in readings if clock.setter)
    return NodeClock(state, worst, ", ".join(sources), steps[0] if steps else 0, "; ".join(setters))


# What a service has still to correct is no part of the error that it tells the kernel.
def _error_us(clock: Clock) -> int | None:
    said = clock.setter.error_us if clock.setter else None
    return clock.max_error_us if clock.max_error_us is None or said is None else max(clock.max_error_us, said)


def _described(setter: ClockSetter) -> str:
    origin = f" from {setter.reference}" if setter.reference else ""
    return f"{setter.service}{origin}" + (f", stratum {setter.stratum}" if setter.stratum is not None else "")

"""What the probes cost the programs of a run: an estimate, marked as one.

Each call is taken to cost what calls of its kind cost on that node (`datacrumbs.daemon.calibration`). The sum is time
of threads. The run would have been shorter by no more than it: what a thread lost is time of the run only while the
others wait for that thread. What reading the rings and writing the trace takes is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datacrumbs.output import counted
from datacrumbs.report.human_readable import duration
from datacrumbs.report.nesting import runs
from datacrumbs.trace.costs import NOT_CALIBRATED, NOT_KNOWN, read_costs

if TYPE_CHECKING:
    from datacrumbs.trace.costs import TracedCalls
    from datacrumbs.trace.dataframes import pl
    from datacrumbs.trace.reader import Traces

_MICROSECOND = 1000


@dataclass(frozen=True, slots=True)
class TracingCost:
    """What tracing cost in one run on one node.

    Args:
        host: The node.
        ways: The calls, by how they were captured.
        reason: Why there is no cost; empty where there is one.
        span_us: From the first call to the end of the last.
    """

    host: str
    ways: tuple[TracedCalls, ...]
    reason: str
    span_us: int

    @property
    def is_known(self) -> bool:
        """Whether there is a cost of any call."""
        return any(way.cost for way in self.ways)

    @property
    def bounds_us(self) -> tuple[float, float]:
        """Between what all calls with known costs cost, in time of threads."""
        known = [(way.calls, way.cost.bounds) for way in self.ways if way.cost]
        low, high = (sum(calls * bounds[end] for calls, bounds in known) / _MICROSECOND for end in (0, 1))
        return max(low, 0.0), high

    @property
    def unknown_calls(self) -> int:
        """Calls that are captured in a way of which the cost is not known."""
        return sum(way.calls for way in self.ways if not way.cost)

    @property
    def without_us(self) -> tuple[float, float]:
        """Between what the run would have taken without the probes, as far as costs are known."""
        return max(self.span_us - self.bounds_us[1], 0.0), float(self.span_us)

    def described(self) -> str:
        """One line for people."""
        if not self.is_known:
            reason = self.reason.removeprefix(NOT_CALIBRATED) or "no call of a kind that is calibrated"
            return f"what tracing cost is not known: {reason}"
        calls = sum(way.calls for way in self.ways if way.cost)
        more = f", {self.unknown_calls:,} more of unknown cost" if self.unknown_calls else ""
        middle, margin = middle_and_margin(self.bounds_us)
        text = (
            f"tracing cost about {middle} {margin} of thread time in its probes, by what such calls cost on "
            f"this node ({counted(calls, 'call')}{more}; reading the rings and writing the trace are not in it)"
        )
        if self.span_us:
            least, most = self.without_us
            saved = duration(most - least)
            without = f"without the probes, the run of {duration(self.span_us)}"
            text += f"; {without} would have been at most about {saved} shorter"
        return text

    def document(self) -> dict[str, Any]:
        """For programs; times in microseconds, ``[least, most]``."""
        found: dict[str, Any] = {
            "host": self.host,
            "ways": [
                {
                    "way": way.way,
                    "calls": way.calls,
                    "cost_ns": way.cost.nanoseconds if way.cost else None,
                    "margin_ns": way.cost.margin if way.cost else None,
                }
                for way in self.ways
            ],
            "not_calibrated": self.reason,
            "calls_of_unknown_cost": self.unknown_calls,
            "run_us": self.span_us,
        }
        return found | {
            "cost_us": list(self.bounds_us) if self.is_known else None,
            "run_without_us": list(self.without_us) if self.is_known else None,
        }


def middle_and_margin(bounds_us: tuple[float, float]) -> tuple[str, str]:
    """An interval as its middle, and half of its width with its sign."""
    low, high = bounds_us
    return duration((low + high) / 2), f"±{duration((high - low) / 2)}"


def tracing_costs(traces: Traces, lives: pl.DataFrame) -> list[TracingCost]:
    """The cost of each run, in the order of their first files; of those that say something of it.

    Args:
        traces: Of the runs.
        lives: Of their processes, see `lives_of`.
    """
    of_run = runs(traces)
    spans = _spans(lives, of_run)
    found = []
    for run in sorted(set(of_run)):
        files = [file for file, number in zip(traces.files, of_run, strict=True) if number == run]
        last = next((file for file in reversed(files) if read_costs(file.provenance)), None)
        if last is None:
            continue
        begin, end = spans.get(run, (0, 0))
        ways, reason = tuple(read_costs(last.provenance)), str(last.provenance.get(NOT_KNOWN, ""))
        found.append(TracingCost(last.host, ways, reason, end - begin))
    return found


# Run -> first moment, last one.
def _spans(lives: pl.DataFrame, of_run: list[int]) -> dict[int, tuple[int, int]]:
    spans: dict[int, tuple[int, int]] = {}
    for trace, begin, end in lives.select("trace", "begin", "end").iter_rows():
        if begin is not None and end is not None:
            first, last = spans.get(of_run[trace], (begin, end))
            spans[of_run[trace]] = min(first, begin), max(last, end)
    return spans

"""What tracing cost the programs of a run, and how long the run would have been without: an estimate, marked as one.

Each call is taken to cost what calls of its kind cost on that node (`datacrumbs.daemon.calibration`). The sum is time
of threads. Only where one thread made all calls is it time of the run; else the run is shorter by no more than it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datacrumbs.output import counted
from datacrumbs.report.amounts import duration
from datacrumbs.report.nesting import runs
from datacrumbs.trace.costs import NOT_KNOWN, read_costs
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from datacrumbs.trace.costs import TracedCalls
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
        threads: How many made calls; 0 where that is not known.
    """

    host: str
    ways: tuple[TracedCalls, ...]
    reason: str
    span_us: int
    threads: int

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
        """Between what the run would have taken without tracing, as far as costs are known."""
        low, high = self.bounds_us
        longest = self.span_us - low if self.threads == 1 else float(self.span_us)
        return max(self.span_us - high, 0.0), max(longest, 0.0)

    def described(self) -> str:
        """One line for people."""
        if not self.is_known:
            return f"what tracing cost is not known: {self.reason or 'no call of a kind that is calibrated'}"
        calls = sum(way.calls for way in self.ways if way.cost)
        text = f"tracing cost about {between(self.bounds_us)} of thread time, by what such calls cost on this node"
        text += f" ({counted(calls, 'call')}"
        text += f"; {self.unknown_calls:,} more of unknown cost)" if self.unknown_calls else ")"
        if self.span_us:
            least, most = map(duration, self.without_us)
            without = least if least == most else f"{least} to {most}"
            text += f"; without, the run would have taken {without} in place of {duration(self.span_us)}"
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
            "threads": self.threads,
        }
        return found | {
            "cost_us": list(self.bounds_us) if self.is_known else None,
            "run_without_us": list(self.without_us) if self.is_known else None,
        }


def between(bounds_us: tuple[float, float]) -> str:
    """An interval as its middle and half of its width."""
    low, high = bounds_us
    return f"{duration((low + high) / 2)} ±{duration((high - low) / 2)}"


def tracing_costs(traces: Traces) -> list[TracingCost]:
    """The cost of each run, in the order of their first files; of those that say something of it."""
    of_run = runs(traces)
    spans = _spans(traces, of_run)
    found = []
    for run in sorted(set(of_run)):
        files = [file for file, number in zip(traces.files, of_run, strict=True) if number == run]
        last = next((file for file in reversed(files) if read_costs(file.provenance)), None)
        if last is None:
            continue
        span = spans.get(run, _Span(0, 0, set()))
        # A thread none of whose calls was chosen has no line.
        unseen = any(file.sampled for file in files) or any(tid is None for _, tid in span.threads)
        threads = 0 if unseen else len(span.threads)
        ways, reason = tuple(read_costs(last.provenance)), str(last.provenance.get(NOT_KNOWN, ""))
        found.append(TracingCost(last.host, ways, reason, span.end - span.begin, threads))
    return found


# First moment, last one, and the threads; None for those of calls that were added up.
@dataclass(slots=True)
class _Span:
    begin: int
    end: int
    threads: set[tuple[int, int | None]]


def _spans(traces: Traces, of_run: list[int]) -> dict[int, _Span]:
    thread = ["trace", "pid", "tid"]
    calls = traces.calls.group_by(thread).agg(pl.col("ts").min().alias("begin"), pl.col("end").max())
    rows = calls.collect(engine="streaming").select(*thread, "begin", "end").rows()
    rows += [(*row[:2], None, *row[2:]) for row in traces.profiles.select("trace", "pid", "begin", "end").rows()]
    spans: dict[int, _Span] = {}
    for trace, pid, tid, begin, end in rows:
        if begin is not None and end is not None:
            span = spans.setdefault(of_run[trace], _Span(begin, end, set()))
            span.begin, span.end = min(span.begin, begin), max(span.end, end)
            span.threads.add((pid, tid))
    return spans

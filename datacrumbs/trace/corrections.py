"""Times of a trace to what the node's wall clock would have said: from readings of the clocks at its begin and end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from datacrumbs.trace.call_store import Span, StoredCalls
from datacrumbs.trace.clocks import STEP_NS, Clock
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LARGEST_DRIFT = 1e-3
"""More than two clocks of a node can drift from each other: what differs by more was set."""


class ClockReading(NamedTuple):
    """A reading, and what was added to CLOCK_MONOTONIC in the times of its file."""

    epoch_offset_ns: int
    clock: Clock


@dataclass(frozen=True, slots=True)
class Correction:
    """What to add to times of a trace: ``shift_us``, and ``slope`` for each microsecond after ``origin_us``.

    ``step_us`` is by how much the wall clock was set during the run, 0 where it was not.
    """

    shift_us: int = 0
    slope: float = 0.0
    origin_us: int = 0
    step_us: int = 0

    def of(self, time: int) -> int:
        """A time of the trace, epoch us, corrected; what comes later stays later, or comes at the same time."""
        return time + self.shift_us + math.floor((time - self.origin_us) * self.slope)


def correction(readings: Sequence[ClockReading]) -> Correction:
    """What the readings of a run say; nothing where they differ by no more than reading takes.

    Between the first and the last one, the offset of the wall clock is taken to change evenly. Where it changed by more
    than clocks drift, the clock was set: then the last offset holds for all of the run, since what is set is mostly set
    right, and no duration may change.
    """
    if not readings:
        return Correction()
    ordered = sorted(readings, key=lambda reading: reading.clock.monotonic_ns)
    first, last = ordered[0], ordered[-1]
    begin, end = (reading.clock.offset_ns - reading.epoch_offset_ns for reading in (first, last))
    elapsed = last.clock.monotonic_ns - first.clock.monotonic_ns
    if max(abs(begin) - first.clock.within_ns, abs(end) - last.clock.within_ns) <= STEP_NS:
        return Correction()
    if elapsed <= 0 or abs(end - begin) > elapsed * LARGEST_DRIFT:
        step = end - begin if last.clock.is_set_since(first.clock) else 0
        return Correction(round(end / 1000), step_us=round(step / 1000))
    origin = (first.clock.monotonic_ns + first.epoch_offset_ns) // 1000
    return Correction(round(begin / 1000), (end - begin) / elapsed, origin)


def corrected_calls(calls: pl.LazyFrame, corrections: Mapping[int, Correction]) -> pl.LazyFrame:
    """Calls with their times corrected; those of one trace keep their order, and what was inside stays inside.

    Args:
        calls: With the columns trace, ts, dur and end.
        corrections: Position of a trace -> its correction.
    """
    if not _changing(corrections):
        return calls
    begin, end = (_corrected(pl.col(name), corrections) for name in ("ts", "end"))
    # Of what has no duration, the end is the beginning.
    lasting = pl.when(pl.col("dur") > 0).then(end - begin).otherwise("dur").alias("dur")
    return calls.with_columns(begin.alias("ts"), end.alias("end"), lasting)


def corrected_parts(parts: Iterable[StoredCalls], corrections: Mapping[int, Correction]) -> list[StoredCalls]:
    """The same of parts of the calls, each by the corrections of its traces alone."""
    changing = _changing(corrections)
    found = []
    for part in parts:
        own = {span.trace: changing[span.trace] for span in part.spans if span.trace in changing}
        spans = (_corrected_span(span, own.get(span.trace, Correction())) for span in part.spans)
        found.append(StoredCalls(corrected_calls(part.calls, own), tuple(spans)))
    return found


def corrected_profiles(profiles: pl.DataFrame, corrections: Mapping[int, Correction]) -> pl.DataFrame:
    """The same of calls that were added up."""
    if not _changing(corrections):
        return profiles
    return profiles.with_columns(_corrected(pl.col(name), corrections).alias(name) for name in ("begin", "end"))


def _corrected_span(span: Span, correction: Correction) -> Span:
    return Span(span.trace, correction.of(span.begin), correction.of(span.end))


def _changing(corrections: Mapping[int, Correction]) -> dict[int, Correction]:
    return {position: each for position, each in corrections.items() if each.shift_us or each.slope}


def _corrected(time: pl.Expr, corrections: Mapping[int, Correction]) -> pl.Expr:
    result = time
    for position, each in _changing(corrections).items():
        drift = ((time - each.origin_us) * each.slope).floor().cast(pl.Int64) if each.slope else 0
        result = pl.when(pl.col("trace") == position).then(time + each.shift_us + drift).otherwise(result)
    return result

"""The end of a complete trace: what became of every call, and where the trace comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datacrumbs.trace.names import metadata_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from datacrumbs.model.plan import Plan
    from datacrumbs.model.record import FunctionCounts

COUNTS = "datacrumbs_counts"
PROVENANCE = "datacrumbs_provenance"
FOOTER = "datacrumbs_footer"
LOSSES = ("unwritten", "beyond_size", "unfinished")
"""Causes for which calls that the kernel side recorded are not in the file."""
PARTS = ("entered", "recorded", "filtered", "counted", "unmatched", "in_flight")


@dataclass(frozen=True, slots=True)
class Footer:
    """What the daemon knows at the end of a run.

    Args:
        counts: One per function of the plan, in its order.
        provenance: Flat texts: plan digest, signer, key id, kernel, build-ids, version.
        other: Further numbers: names lost, ring overflows.
    """

    counts: Sequence[FunctionCounts]
    provenance: Mapping[str, str] = field(default_factory=dict)
    other: Mapping[str, int] = field(default_factory=dict)


def part_lines(provenance: Mapping[str, str], part: int, lines: int, profiles: int) -> Iterator[str]:
    """The end of a file whose run continues in another one: the counts are in the run's last file."""
    yield metadata_line(PROVENANCE, 0, 0, sorted(provenance.items()))
    yield metadata_line(FOOTER, 0, 0, [("continued", 1), ("lines", lines), ("part", part), ("profiles", profiles)])


def footer_lines(footer: Footer, plan: Plan) -> Iterator[str]:
    """The metadata lines of a footer, flat, since some readers stop at nested arguments.

    One line per function that was entered, one with the provenance, one with the totals, which
    comes last and says that the trace is complete.
    """
    places = [(group, function) for group in plan.groups for function in group.functions]
    for identity, (counts, (group, function)) in enumerate(zip(footer.counts, places, strict=True)):
        if counts.entered or not counts.balanced:
            yield metadata_line(
                COUNTS,
                0,
                0,
                [
                    ("function", identity),
                    ("name", function.name),
                    ("symbol", function.symbol),
                    ("category", function.category),
                    ("provider", group.provider),
                    ("layer", group.layer),
                    *((part, int(getattr(counts, part))) for part in PARTS),
                    *((cause, int(calls)) for cause, calls in sorted(_reasons(counts).items())),
                ],
            )
    yield metadata_line(PROVENANCE, 0, 0, sorted(footer.provenance.items()))
    yield metadata_line(
        FOOTER,
        0,
        0,
        [
            *summed(footer.counts).items(),
            *((key, int(number)) for key, number in sorted(footer.other.items())),
        ],
    )


def summed(counts: Iterable[FunctionCounts]) -> dict[str, int]:
    """The counts of all functions together, then their causes, sorted."""
    totals = dict.fromkeys(PARTS, 0)
    causes: dict[str, int] = {}
    for each in counts:
        for part in PARTS:
            totals[part] += int(getattr(each, part))
        for cause, calls in _reasons(each).items():
            causes[cause] = causes.get(cause, 0) + int(calls)
    return {**totals, **dict(sorted(causes.items()))}


def _reasons(counts: FunctionCounts) -> dict[str, int]:
    return {**counts.causes, **{f"lost_{cause}": calls for cause, calls in counts.lost.items()}}

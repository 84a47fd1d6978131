"""Findings as the page shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacrumbs.output import printable
from datacrumbs.report.findings.printing import evidence, headline, summary
from datacrumbs.report.human_readable import duration
from datacrumbs.report.page.sheets import Cell, Sheet, shortened

if TYPE_CHECKING:
    from datacrumbs.report.findings.judging import FaultFound
    from datacrumbs.report.page.contents import Contents

HEADINGS = (
    ("rank", False),
    ("process", True),
    ("pid", False),
    ("share", False),
    ("time", False),
    ("file", True),
    ("evidence", True),
)


def drawn_findings(contents: Contents) -> dict[str, Any] | None:
    """What the section of findings says; None where rules were not asked."""
    findings = contents.findings
    if findings is None:
        return None
    return {
        "found": [_drawn(each) for each in findings.found],
        "judged": len(findings.judged),
        "not_judged": [(summary(each.rules), shortened(each.reason)) for each in findings.not_judged],
    }


def _drawn(finding: FaultFound) -> dict[str, Any]:
    return {
        "severity": finding.severity,
        "headline": printable(headline(finding)),
        "evidence": shortened(evidence(finding)),
        "threshold": finding.threshold,
        "advice": finding.advice,
        "sheet": _places(finding) if finding.processes > 1 else None,
    }


def _places(finding: FaultFound) -> Sheet:
    rows = tuple(
        (
            Cell("" if place.rank is None else f"{place.rank}"),
            Cell(shortened(place.process), is_text=True),
            Cell(f"{place.pid}"),
            Cell(f"{place.share:.0%}", f"{place.share:.4f}"),
            Cell(duration(place.time_us), str(place.time_us)),
            Cell(shortened(place.path), is_text=True, mark="path"),
            Cell(shortened(place.evidence), is_text=True),
        )
        for place in finding.places
    )
    caption = f"{finding.title}, by process; share of the I/O time of each."
    return Sheet(f"finding-{finding.rule}", caption, HEADINGS, rows, finding.processes - len(rows))

"""Findings for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.output import counted
from datacrumbs.report.human_readable import duration
from datacrumbs.report.tables import say

if TYPE_CHECKING:
    from rich.console import Console

    from datacrumbs.report.findings.judging import FaultFound, Findings

STYLES = {"critical": "red", "warning": "yellow", "note": "cyan"}


def print_findings(console: Console, findings: Findings) -> None:
    """The findings, the gravest first, and what could not be judged."""
    if findings.found:
        say(console, "Findings", "bold")
    elif findings.judged:
        say(console, "Findings", "bold", f": none of the {counted(len(findings.judged), 'fault')} looked for")
    several = len({place.host for finding in findings.found for place in finding.places}) > 1
    for finding in findings.found:
        _print_finding(console, finding, several=several)
    for each in findings.not_judged:
        say(console, "not judged", "yellow", f": {summary(each.rules)}: {each.reason}")
    if findings.found or findings.judged or findings.not_judged:
        console.print()


def headline(finding: FaultFound, *, several: bool = False) -> str:
    """What a finding is and how much it matters, in one line; with the node where the traces are of several."""
    place = finding.places[0]
    name = f"{place.process} (pid {place.pid})" if place.process else f"pid {place.pid}"
    # The traces of our own name a rank's processes so.
    is_named = place.rank is None or f"(rank {place.rank})" in place.process
    name = name if is_named else f"rank {place.rank}, {name}"
    where = f"{name} on {place.host}" if several else name
    more = f", and {counted(finding.processes - 1, 'more process', 'more processes')}" if finding.processes > 1 else ""
    return f"{finding.title}: {place.share:.0%} of the I/O time of {where}, {duration(place.time_us)}{more}"


def evidence(finding: FaultFound) -> str:
    """What was counted where it is worst."""
    place = finding.places[0]
    return f"{place.layer}: {place.evidence}" + (f"; longest on {place.path}" if place.path else "")


def summary(rules: tuple[str, ...]) -> str:
    """Names of rules, at most four."""
    return ", ".join(rules) if len(rules) <= 4 else counted(len(rules), "rule")


def _print_finding(console: Console, finding: FaultFound, *, several: bool) -> None:
    say(console, f"{finding.severity:<8}", STYLES[finding.severity], f"  {headline(finding, several=several)}")
    say(console, f"          {evidence(finding)}")
    say(console, f"          limit: {finding.threshold}")
    say(console, f"          try: {finding.advice}")

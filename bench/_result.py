"""What a measurement leaves: tables and goals, as JSON and as Markdown."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _figures import Goal
from _harness import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below headings; the first column says what, the others are figures."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        rule = ["---", *["---:"] * (len(self.headings) - 1)]
        lines = [f"| {' | '.join(row)} |" for row in [self.headings, rule, *self.rows]]
        return "\n".join([f"**{self.title}**", "", *lines] if self.title else lines)


@dataclass(slots=True)
class Result:
    """One measurement.

    Args:
        name: Of its module.
        title: A heading.
        text: How it was measured, in Markdown.
        tables: What came out.
        goals: What was to be reached.
        figures: Every single figure.
        machine: What they depend on.
        seconds: How long it took to measure.
    """

    name: str
    title: str
    text: str
    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def markdown(self) -> str:
        return "\n\n".join([f"## {self.title}", self.text, *(table.markdown() for table in self.tables)])


def goal_table(goals: Sequence[Goal]) -> str:
    """The goals as a table."""
    return Table("", ["", "goal", "measured", ""], [goal.row() for goal in goals]).markdown()


def from_json(document: dict[str, Any]) -> Result:
    """A result as `to_json` left it."""
    tables = [Table(**table) for table in document["tables"]]
    goals = [Goal(**goal) for goal in document["goals"]]
    return Result(**{**document, "tables": tables, "goals": goals})


def to_json(result: Result) -> str:
    return json.dumps(asdict(result), indent=1) + "\n"


def conditions(facts: dict[str, str]) -> str:
    """The machine in a line."""
    return ", ".join(value if name == "processor" else f"{name} {value}" for name, value in facts.items())


def measure(take: Callable[[bool], Result], description: str) -> None:
    """Run a measurement from the command line: print its tables, and keep its figures where that was asked for."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fraction of the work; the figures are rough")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installation has its modules compiled
    facts, begin = machine(), time.monotonic()
    result = take(options.quick)
    result.machine, result.seconds = facts, round(time.monotonic() - begin, 1)
    print(conditions(facts), result.markdown(), sep="\n\n")
    if result.goals:
        print("", goal_table(result.goals), sep="\n")
    sys.stdout.flush()
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(to_json(result), encoding="utf-8")

"""The part of ``datacrumbs_trust`` about seals: what a node vouches for, and whether files are that trace."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

from datacrumbs.errors import ExitCode
from datacrumbs.probefile.storage import instant
from datacrumbs.quantities import SECOND
from datacrumbs.seal.comparison import MATCHES, NOT_GIVEN, check_parts, differences
from datacrumbs.seal.statement import read_seal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from datacrumbs.seal.comparison import CheckedPart
    from datacrumbs.seal.statement import Seal
    from datacrumbs.system import SystemPaths

_OTHER_DESCRIPTORS = 100


def verify_seal(paths: SystemPaths, seal: Path, traces: Sequence[Path], *, as_json: bool) -> int:
    """Verify a seal's signature, and compare files or directories with the trace that it is about.

    Returns:
        0 when each part of the trace is there unchanged and says what the kernel counted, or no file was given;
        otherwise 1.
    """
    found = read_seal(seal, paths.seal_keys)
    with ExitStack() as stack:
        parts, problems = _checked(found, traces, stack) if traces else ([], [])
    _print(found, parts, problems, as_json=as_json)
    return ExitCode.FAILED if problems else ExitCode.DONE


def _checked(seal: Seal, traces: Sequence[Path], stack: ExitStack) -> tuple[list[CheckedPart], list[str]]:
    from datacrumbs.engine.links import allow_descriptors
    from datacrumbs.trace.reader import find_traces

    files = find_traces(traces)
    allow_descriptors(len(files) + _OTHER_DESCRIPTORS)
    parts, others = check_parts(seal.summary, files, stack)
    problems = [f"{part.path or part.name}: {part.state}" for part in parts if part.state != MATCHES]
    problems += [f"{path}: no part of this trace" for path in others]
    if not seal.summary.complete:
        problems.append("the trace was not completed: root vouches for its counts, and not for its lines")
    if all(part.state == MATCHES for part in parts):
        problems += _wrong_numbers(seal, parts)
    return parts, problems


# Of files that are what they were: the process that wrote them is the user's, and is not believed either.
def _wrong_numbers(seal: Seal, parts: Sequence[CheckedPart]) -> list[str]:
    from datacrumbs.trace.reader import read_traces

    files = [part.file for part in parts if part.file]
    read = read_traces([file.place for file in files]).files
    named = list(zip(files, read, strict=True))
    problems = [f"{file.path}: {trace.shortcoming}" for file, trace in named if trace.shortcoming]
    for file, trace in named:
        if trace.footer is not None and "continued" not in trace.footer:
            problems += [f"{file.path}: {words}" for words in differences(seal.summary, trace.footer)]
    return problems + [f"{file.path}: changed while it was read" for file in files if file.has_changed]


def _print(seal: Seal, parts: Sequence[CheckedPart], problems: Sequence[str], *, as_json: bool) -> None:
    summary = seal.summary
    if as_json:
        document = asdict(summary) | {"counts": dict(summary.counts), "seal_key": seal.key_id, "problems": problems}
        states = {part.name: part.state for part in parts}
        for part in document["parts"]:
            part["state"] = states.get(part["name"], NOT_GIVEN)
        print(json.dumps(document, indent=2, sort_keys=True))
        return
    counts = dict(summary.counts)
    print(f"run {summary.run_id} of {summary.user} (uid {summary.uid}) on {summary.host}, Linux {summary.kernel}")
    print(f"from {instant(summary.begin // SECOND)} to {instant(summary.end // SECOND)}, ended by: {summary.ended_by}")
    print(f"plan {summary.plan}, signed by key {summary.key_id[:16]}; sealed by key {seal.key_id[:16]}")
    print("the kernel's counters: " + ", ".join(f"{number} {key}" for key, number in counts.items() if number))
    if not summary.complete:
        print("the process that writes did not finish: the trace has no footer that root vouches for")
    states = {part.name: part.state for part in parts}
    for each in summary.parts:
        print(f"{each.name}  {each.size} bytes  {each.sha256 or 'not read'}  {states.get(each.name, '')}".rstrip())
    for problem in problems:
        print(f"problem: {problem}")

"""Which snippet a complaint is about: of the compiler, or of the kernel's verifier."""

from __future__ import annotations

import os
import re
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.engine import compiler, kernel_programs, source
from datacrumbs.engine.loader import ITERATOR_TARGET, KERNEL_FUNCTIONS, LoadedImage, VerifierError
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.plan import Plan
from datacrumbs.system import SystemConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from datacrumbs.engine.compiler import CompileError
    from datacrumbs.model.plan import Snippet

_SAID = re.compile(
    r"^(?P<file>[^:\n]+):(?P<line>\d+):(?:\d+:)? (?P<kind>fatal error|error|warning|note): (?P<text>.*)$", re.MULTILINE
)
_STEP = re.compile(r"^(\d+): \(")
_DISASSEMBLED = re.compile(
    r"^(?:Disassembly of function (?P<name>\w+)|;.*// *Line *(?P<line>\d+)|\s*(?P<index>\d+):\t.*)$"
)
_WORDS_SHOWN = 4000
_TRIED = SystemConfiguration(Path("/"), call_ring_mib=1, name_ring_mib=1, handles=1024, profiles=1024)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a snippet, and where; line 0 when that is not known."""

    provider: str
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"provider {self.provider}, snippet {place}: {self.text}"


def fault_in(words: str, snippets: Iterable[Snippet]) -> Fault | None:
    """The first thing that a compiler's words say against a snippet.

    An error elsewhere that has a note about a snippet (a brace that it does not close, a word that it redefines) is
    the snippet's, too.
    """
    files = {source.snippet_file(snippet): snippet for snippet in snippets}
    said = [match for match in _SAID.finditer(words) if match["kind"] != "warning"]
    errors = [match for match in said if match["kind"] != "note"]
    if errors and errors[0]["file"] not in files and source.is_before_snippets(errors[0]["file"]):
        return None
    inside = [match for match in errors if match["file"] in files] or [
        match for match in said if match["file"] in files
    ]
    # A comment that is not closed swallows what names the next part, which then counts on from the snippet's lines.
    if not inside or int(inside[0]["line"]) > len(files[inside[0]["file"]].text.split("\n")):
        return None
    text = inside[0]["text"] if inside[0]["kind"] != "note" or not errors else errors[0]["text"]
    snippet = files[inside[0]["file"]]
    return Fault(snippet.provider, f"{snippet.name}.bpf.c", int(inside[0]["line"]), text)


def snippet_faults(plan: Plan, flags: Sequence[str], words: str, *, limited: bool = False) -> tuple[Fault, ...]:
    """The snippets of a plan that a compiler's words are about.

    Where the words name none (too large a stack is seen only when code is made), each snippet is compiled alone.

    Returns:
        Nothing when the program does not compile without snippets either.
    """
    if found := fault_in(words, plan.snippets):
        return (found,)

    def said_of(*snippets: Snippet) -> str:
        text = source.assemble(replace(plan, snippets=snippets))
        return compiler.complaint(text, flags, limited=limited)

    if not plan.snippets or said_of():
        return ()
    alone = {snippet: said_of(snippet) for snippet in plan.snippets}
    return tuple(_placed(each, said, flags, limited=limited) for each, said in alone.items() if said)


def of_compiler(error: CompileError, plan: Plan, flags: Sequence[str]) -> DatacrumbsError:
    """The same error, naming the snippet where one is at fault."""
    faults = snippet_faults(plan, flags, error.words)
    if not faults:
        return error
    listed = "\n".join(map(str, faults))
    return DatacrumbsError(
        f"the probe program does not compile: {listed}\n{error.words[-_WORDS_SHOWN:]}", hint=_hint(faults)
    )


def of_verifier(error: VerifierError, plan: Plan, flags: Sequence[str]) -> DatacrumbsError:
    """The same error, naming the line of the snippet where the kernel stopped, or that it went through most often."""
    fault = None
    with suppress(DatacrumbsError):  # headers that are gone are not what is wrong
        fault = _refused(error, plan, flags) if plan.snippets else None
    if fault is None:
        return error
    text = f"the kernel refuses the program {error.name}: {fault}{error.last_words}"
    return DatacrumbsError(text, hint=_hint((fault,)))


def find_complaints(snippets: Sequence[Snippet], *, limited: bool = False) -> tuple[Fault, ...]:
    """What the compiler says against snippets, and as root the kernel's verifier, too.

    Args:
        snippets: To be compiled together.
        limited: As for `compiler.complaint`; the verifier is not asked then.

    Raises:
        DatacrumbsError: (exit 1) when nothing can be compiled here: no bcc, headers or type information.
    """
    plan, flags = Plan((), (), tuple(snippets)), source.snippet_flags()
    text = source.assemble(plan)
    if words := compiler.complaint(text, flags, limited=limited):
        if faults := snippet_faults(plan, flags, words, limited=limited):
            return faults
        raise DatacrumbsError(f"no probe program can be compiled here:\n{words[-_WORDS_SHOWN:]}")
    if limited or os.geteuid():
        return ()
    image = compiler.compiled(text, flags, (*KERNEL_FUNCTIONS, ITERATOR_TARGET))
    with closing(LoadedImage(image, source.map_entries(plan, _TRIED))) as loaded:
        try:
            for name in kernel_programs.RUN_SNIPPETS:
                loaded.program(name, kernel_programs.PROBE)
        except VerifierError as error:
            fault = _refused(error, plan, flags)
            return (fault,) if fault else ()
    return ()


def _hint(faults: Sequence[Fault]) -> str:
    providers = sorted({fault.provider for fault in faults})
    without = " ".join(f"--without {name}" for name in providers)
    return f"its author has to correct the snippet; until then compose the probe file {without}"


# A brace or a comment that is not closed is reported at its place when nothing follows.
def _placed(snippet: Snippet, words: str, flags: Sequence[str], *, limited: bool) -> Fault:
    if found := fault_in(words, (snippet,)):
        return found
    cut = compiler.complaint(source.up_to_snippet(snippet), flags, limited=limited)
    return fault_in(cut, (snippet,)) or _unplaced(snippet, words)


def _unplaced(snippet: Snippet, words: str) -> Fault:
    errors = [line for line in words.splitlines() if "error:" in line or "ERROR:" in line]
    text = errors[0].rpartition("rror: ")[2] if errors else "it does not compile"
    return Fault(snippet.provider, f"{snippet.name}.bpf.c", 0, text)


def _refused(error: VerifierError, plan: Plan, flags: Sequence[str]) -> Fault | None:
    numbered = source.numbered(source.assemble(plan))
    lines = _lines_of(error.name, compiler.disassembled(numbered.text, flags))
    files = {source.snippet_file(snippet): snippet for snippet in plan.snippets}
    steps = [int(match[1]) for match in map(_STEP.match, error.log.splitlines()) if match]
    where = [numbered.place(lines[step]) for step in steps if step in lines]
    inside = [place for place in where if place[0] in files]
    if not inside:
        return None
    # A loop that does not end is refused wherever its count ran out: it is where the verifier was most often.
    file, line = where[-1] if where[-1] == inside[-1] else Counter(inside).most_common(1)[0][0]
    return Fault(files[file].provider, f"{files[file].name}.bpf.c", line, error.reason)


# Instruction -> line of the text, for one function.
def _lines_of(name: str, disassembly: str) -> Mapping[int, int]:
    lines: dict[int, int] = {}
    inside, line = False, 0
    for match in map(_DISASSEMBLED.match, disassembly.splitlines()):
        if match is None:
            continue
        if match["name"]:
            inside, line = match["name"] == name, 0
        elif match["line"]:
            line = int(match["line"])
        elif inside:
            lines[int(match["index"])] = line
    return lines

"""A plan to one C program: the core's files, the plan's snippets, and what connects them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from datacrumbs.engine.function_table import operand_rows
from datacrumbs.engine.kernel_programs import by_session
from datacrumbs.engine.ring import MAPPING_RING_SIZE
from datacrumbs.model.parameters import snippet_uses

if TYPE_CHECKING:
    from datacrumbs.engine.methods import AttachMethod
    from datacrumbs.model.plan import Plan, Snippet
    from datacrumbs.system import SystemConfiguration

_CONTRACT = "contract.h"
_BEFORE_SNIPPETS = (
    "reads.h",
    "machine.h",
    _CONTRACT,
    "layout.h",
    "loops.h",
    "maps.h",
    "strings.h",
    "open_files.h",
    "names.h",
    "opened.h",
    "handles.h",
    "mappings.h",
    "snippet.h",
)
_AFTER_SNIPPETS = (
    "modes.h",
    "calls.h",
    "restarts.h",
    "taking.h",
    "environment.h",
    "interrupts.bpf.c",
    "processes.bpf.c",
    "system_calls.bpf.c",
    "returns.h",
    "functions.bpf.c",
    "points.bpf.c",
    "in_flight.bpf.c",
    "taking.bpf.c",
)
_CASES = "snippets of the plan"
_NAMED = "#line 1 "
_INCLUDED = re.compile(r'^#include ".*"$', re.MULTILINE)  # the parts are in an order in which they need none


def assemble(plan: Plan) -> str:
    """The C text of the plan's program. Its size grows with snippets, never with functions.

    Each part begins with a line that gives it its own name and line numbers in what the compiler says.
    """
    parts = list(map(_own_part, _BEFORE_SNIPPETS))
    parts += [_part(snippet_file(snippet), snippet.text) for snippet in plan.snippets]
    cases = f"#define DC_SNIPPETS_ENTRY(CASE) {_cases(plan, 'entry')}\n"
    cases += f"#define DC_SNIPPETS_RETURN(CASE) {_cases(plan, 'return')}"
    parts += [_part(_CASES, cases), *map(_own_part, _AFTER_SNIPPETS)]
    return "\n".join(parts) + "\n"


# Arguments are numbers from 0 to 4095 and come to the snippet's functions as constants, never as text of its own.
def _cases(plan: Plan, end: str) -> str:
    texts = {(snippet.provider, snippet.name): snippet.text for snippet in plan.snippets}
    cases = []
    for (provider, name, arguments), number in snippet_uses(plan).items():
        function = f"dc_{provider}_{name}_{end}"
        if f"{function}(" in texts[provider, name]:
            cases.append(f"CASE({', '.join(map(str, (number, function, *map(int, arguments))))})")
    return " ".join(cases)


def is_before_snippets(file: str) -> bool:
    """Whether what the compiler calls a file comes before any snippet: the core's first parts, the kernel's headers."""
    return file not in {_CASES, *_AFTER_SNIPPETS}


def up_to_snippet(snippet: Snippet) -> str:
    """The C text up to the end of a snippet: whether it is complete by itself."""
    return "\n".join([*map(_own_part, _BEFORE_SNIPPETS), _part(snippet_file(snippet), snippet.text)])


def snippet_file(snippet: Snippet) -> str:
    """What the compiler calls a snippet's text: its provider and its file there."""
    return f"{snippet.provider}/{snippet.name}.bpf.c"


@dataclass(frozen=True, slots=True)
class Numbered:
    """A program's text in which a line's number alone says which part it is of, and where there."""

    text: str
    parts: tuple[str, ...]
    stride: int

    def place(self, number: int) -> tuple[str, int]:
        """Name of the part and the line there."""
        part, line = divmod(number, self.stride)
        return (self.parts[part], line) if part < len(self.parts) else ("", 0)


def numbered(text: str) -> Numbered:
    """The same program with such numbers, for messages that give line numbers without names.

    bcc adds lines of its own in between, so each line is given its number, none of them above the text's last line.
    """
    lines = text.split("\n")
    parts: list[str] = []
    stride, number, numbered_lines = 2 * len(lines), 0, []
    for position, line in enumerate(lines):
        if line.startswith(_NAMED):
            parts.append(line.removeprefix(_NAMED).strip('"'))
            number = (len(parts) - 1) * stride
            continue
        number += 1
        continued = position > 0 and lines[position - 1].endswith("\\")
        numbered_lines += [line] if continued else [f"#line {number}", line]
    return Numbered("\n".join([*numbered_lines, "\n" * (stride * len(parts))]), tuple(parts), stride)


def _part(name: str, text: str) -> str:
    return f'{_NAMED}"{name}"\n{text}'


def compiler_flags(plan: Plan, method: AttachMethod, *, late: bool) -> list[str]:
    """Parts to leave in, as ``-D`` definitions.

    Args:
        plan: The plan.
        method: How library functions are attached.
        late: Whether files that traced processes map are reported.
    """
    parts = {"UPROBE_SESSION" if by_session(group, method) else group.attach.upper() for group in plan.groups}
    parts |= {"LATE"} if late else set()
    return [*(f"-DDC_WITH_{part}" for part in sorted(parts)), "-Wno-unused-function"]


def snippet_flags() -> list[str]:
    """Parts to leave in where only snippets matter: those that run them."""
    return ["-DDC_WITH_UPROBE", "-Wno-unused-function"]


def map_entries(plan: Plan, configuration: SystemConfiguration) -> dict[str, int]:
    """How many entries the maps get whose size the C text leaves open; a ring's are its bytes."""
    functions = max(1, len(plan.functions))
    return {
        "dc_calls": configuration.call_ring_mib << 20,
        "dc_name_ring": configuration.name_ring_mib << 20,
        "dc_mapping_ring": MAPPING_RING_SIZE,
        "dc_functions": functions + len(operand_rows(plan)),
        "dc_counts": functions,
        "dc_guards": functions + 1,
        "dc_handles": configuration.handles,
        "dc_profiles": configuration.profiles,
    }


# A start needs the text more than once: for the program, and for the name under which its costs are kept.
@cache
def _own_part(name: str) -> str:
    place = files("datacrumbs.model") if name == _CONTRACT else files("datacrumbs.engine") / "bpf"
    return _part(name, _INCLUDED.sub("", (place / name).read_text(encoding="utf-8")))

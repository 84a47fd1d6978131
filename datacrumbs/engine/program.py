"""A plan to one C program: the core's files, the plan's snippets, and what connects them."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from datacrumbs.engine.descriptors import operand_rows
from datacrumbs.engine.programs import by_session

if TYPE_CHECKING:
    from datacrumbs.engine.methods import AttachMethod
    from datacrumbs.probefile.plan import Plan
    from datacrumbs.system import SystemConfiguration

_BEFORE_SNIPPETS = ("machine.h", "layout.h", "maps.h", "strings.h", "open_files.h", "names.h", "snippet.h")
_AFTER_SNIPPETS = (
    "modes.h",
    "calls.h",
    "restarts.h",
    "processes.bpf.c",
    "system_calls.bpf.c",
    "returns.h",
    "functions.bpf.c",
    "points.bpf.c",
    "in_flight.bpf.c",
)


def assemble(plan: Plan) -> str:
    """The C text of the plan's program. Its size grows with snippets, never with functions."""
    parts = [_read(name) for name in _BEFORE_SNIPPETS]
    entries, returns = [], []
    for number, snippet in enumerate(plan.snippets, 1):
        parts.append(f"/* ---- snippet {snippet.provider}/{snippet.name} ---- */\n{snippet.text}")
        name = f"dc_{snippet.provider}_{snippet.name}"
        if f"{name}_entry(" in snippet.text:
            entries.append(f"CASE({number}, {name}_entry)")
        if f"{name}_return(" in snippet.text:
            returns.append(f"CASE({number}, {name}_return)")
    parts.append(f"#define DC_SNIPPETS_ENTRY(CASE) {' '.join(entries)}")
    parts.append(f"#define DC_SNIPPETS_RETURN(CASE) {' '.join(returns)}")
    parts += [_read(name) for name in _AFTER_SNIPPETS]
    return "\n".join(parts) + "\n"


def compiler_flags(plan: Plan, method: AttachMethod) -> list[str]:
    """Parts to leave in, as ``-D`` definitions, when library functions are attached by ``method``."""
    parts = {"UPROBE_SESSION" if by_session(group, method) else group.attach.upper() for group in plan.groups}
    return [*(f"-DDC_WITH_{part}" for part in sorted(parts)), "-Wno-unused-function"]


def map_entries(plan: Plan, configuration: SystemConfiguration) -> dict[str, int]:
    """How many entries the maps get whose size the C text leaves open; a ring's are its bytes."""
    functions = max(1, len(plan.functions))
    return {
        "dc_calls": configuration.call_ring_mib << 20,
        "dc_name_ring": configuration.name_ring_mib << 20,
        "dc_functions": functions + len(operand_rows(plan)),
        "dc_counts": functions,
        "dc_guards": functions + 1,
        "dc_handles": configuration.handles,
        "dc_profiles": configuration.profiles,
    }


def _read(name: str) -> str:
    return (files("datacrumbs.engine") / "bpf" / name).read_text(encoding="utf-8")

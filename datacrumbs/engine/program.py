"""A plan to one C program: the core's files, the plan's snippets, and what connects them."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from datacrumbs.engine import btf

if TYPE_CHECKING:
    from datacrumbs.probefile.plan import Plan
    from datacrumbs.system import SystemConfiguration

_BEFORE_SNIPPETS = ("machine.h", "layout.h", "maps.h", "names.h", "snippet.h")
_AFTER_SNIPPETS = (
    "modes.h",
    "calls.h",
    "processes.bpf.c",
    "system_calls.bpf.c",
    "functions.bpf.c",
    "points.bpf.c",
    "in_flight.bpf.c",
)
_PAGE = 4096


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


def compiler_flags(plan: Plan, configuration: SystemConfiguration) -> list[str]:
    """Sizes of the maps, parts to leave in, and offsets of the running kernel, as ``-D`` definitions.

    The number of functions is rounded up to a power of two, so that most plans share one program.
    """
    kinds = sorted({group.attach for group in plan.groups})
    return [
        f"-DDC_FUNCTION_COUNT={max(256, 1 << (len(plan.functions) - 1).bit_length())}",
        *(f"-DDC_WITH_{kind.upper()}" for kind in kinds),
        f"-DDC_CALL_RING_PAGES={configuration.call_ring_mib * 1024 * 1024 // _PAGE}",
        f"-DDC_NAME_RING_PAGES={configuration.name_ring_mib * 1024 * 1024 // _PAGE}",
        f"-DDC_PROCESSES={configuration.processes}",
        f"-DDC_HANDLES={configuration.handles}",
        f"-DDC_PROFILES={configuration.profiles}",
        "-Wno-unused-function",
        *btf.definitions(),
    ]


def _read(name: str) -> str:
    return (files("datacrumbs.engine") / "bpf" / name).read_text(encoding="utf-8")

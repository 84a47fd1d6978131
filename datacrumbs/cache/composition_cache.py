"""A cache of whole compositions: what one gave is remembered while nothing changes that it depended on.

The key has what is known before anything is looked at: what was asked, by whom, in which environment, on which machine
and kernel, with which Python. The answer records what the composition looked at, with its state:
files and directories, absent ones too, and the code of all that took part. An answer is worth as much as
`cache.analysis_cache` says: nothing to what runs as root for others.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs import __version__
from datacrumbs.cache import analysis_cache
from datacrumbs.cache.inspected_files import unchanged
from datacrumbs.cache.running_kernel import kernel_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datacrumbs.cache.inspected_files import Watched

# Of a session, a terminal or a job, not of what is composed.
_PASSING = frozenset((
    "_", "PWD", "OLDPWD", "SHLVL", "TERM", "COLORTERM", "COLUMNS", "LINES", "DISPLAY", "WINDOWID", "TTY", "TMUX",
    "TMUX_PANE", "STY", "PS1", "PROMPT", "PROMPT_COMMAND", "LS_COLORS", "HISTFILE", "HISTSIZE", "MAIL", "TMPDIR",
    "NO_COLOR", "PAGER", "EDITOR", "VISUAL", "INVOCATION_ID", "JOURNAL_STREAM",
))  # fmt: skip
_PASSING_PREFIXES = ("SSH_", "XDG_SESSION_", "DBUS_", "SUDO_", "SLURM_", "SLURMD_", "PBS_", "PYTEST_")
_LOOKED_IN = ("_DIR", "_HOME", "_ROOT", "_PREFIX", "_BASE")
"""Suffixes of the variables that name places of libraries, also where a session or a job has set them."""
_TRACE_HOOKS = "DATACRUMBS_TRACE_HOOKS"
_CPUINFO = Path("/proc/cpuinfo")
_PROCESSOR = ("vendor_id", "model name", "flags", "Features", "CPU implementer", "CPU part", "CPU variant", "isa")


def recall(kind: str, asked: Sequence[object], environment: Mapping[str, str]) -> Any:
    """What was remembered of the same question; None where there is nothing, or something changed since.

    Nothing is remembered where hook calls are to be shown.
    """
    if _TRACE_HOOKS in environment:
        return None
    found = analysis_cache.taken(kind, _key(asked, environment))
    return found["answer"] if found is not None and unchanged(found["looked_at"]) else None


def remember(
    kind: str, asked: Sequence[object], environment: Mapping[str, str], watched: Watched, answer: object
) -> None:
    """Remember an answer, which JSON carries unchanged, with what was looked at for it."""
    states = watched.states()
    if states is not None:
        analysis_cache.put(kind, _key(asked, environment), {"looked_at": states, "answer": answer})


def _key(asked: Sequence[object], environment: Mapping[str, str]) -> list[object]:
    python = [sys.version, sys.executable, sys.prefix, sys.path]
    user = [os.geteuid(), os.getegid(), sorted(os.getgroups())]
    return [__version__, list(asked), _lasting(environment), kernel_state(), _processor(), python, user]


def _lasting(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted(
        (name, value)
        for name, value in environment.items()
        if name.endswith(_LOOKED_IN) or not (name in _PASSING or name.startswith(_PASSING_PREFIXES))
    )


# Indirect functions are resolved for it, and homes are shared by unlike machines.
def _processor() -> list[str]:
    try:
        with _CPUINFO.open(encoding="ascii", errors="replace") as stream:
            text = stream.read(1 << 13).partition("\n\n")[0]
    except OSError:
        return []
    return [line for line in text.splitlines() if line.startswith(_PROCESSOR)]

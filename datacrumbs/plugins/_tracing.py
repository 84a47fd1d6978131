"""``DATACRUMBS_TRACE_HOOKS=1``: every hook call on stderr, and tracebacks of what providers raise."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Sized
from typing import TYPE_CHECKING, Any

from datacrumbs.output import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pluggy

VARIABLE = "DATACRUMBS_TRACE_HOOKS"
_SHOWN = 120  # characters of one argument: a list of targets would fill the screen


def trace_hook_calls(manager: pluggy.PluginManager) -> None:
    """Print each hook call of ``manager`` with its arguments, outcome and time to stderr."""
    started: list[float] = []

    def before(hook_name: str, implementations: Sequence[pluggy.HookImpl], arguments: Mapping[str, Any]) -> None:
        shown = ", ".join(f"{key}={_short(value)}" for key, value in arguments.items())
        owners = ", ".join(implementation.plugin_name for implementation in implementations) or "no provider"
        print(f"hook {hook_name}({shown}) of {owners}", file=sys.stderr)
        started.append(time.perf_counter())

    def after(
        outcome: pluggy.Result[Any],
        hook_name: str,
        implementations: Sequence[pluggy.HookImpl],  # noqa: ARG001 -- pluggy passes it
        arguments: Mapping[str, Any],  # noqa: ARG001 -- pluggy passes it
    ) -> None:
        milliseconds = (time.perf_counter() - started.pop()) * 1e3
        print(f"hook {hook_name} -> {_outcome(outcome)}, {milliseconds:.1f} ms", file=sys.stderr)

    manager.add_hookcall_monitoring(before, after)


def print_traceback(error: BaseException) -> None:
    """Print the traceback of what a provider raised, when hook calls are traced."""
    if os.environ.get(VARIABLE) == "1":
        traceback.print_exception(error, file=sys.stderr)


def _outcome(outcome: pluggy.Result[Any]) -> str:
    if outcome.exception is not None:
        return f"{type(outcome.exception).__name__}: {outcome.exception}"
    results = outcome.get_result()
    if len(results) == 1 and isinstance(results[0], Sized):
        return counted(len(results[0]), "item")
    return _short(results)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

"""What the lines of our own in a trace must look like: a trace is any file that somebody hands to a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from datacrumbs.trace.footer import COUNTS, FOOTER
from datacrumbs.trace.names import RUN
from datacrumbs.trace.notes import NOTE
from datacrumbs.trace.processes import PROCESS_EVENT

if TYPE_CHECKING:
    from collections.abc import Mapping

WHOLE = 1 << 63
PARTS = 1_000_000
"""More files than a run has."""
_FUNCTION = ("category", "name", "symbol")


class _Form(NamedTuple):
    """Keys that must be there, those that hold texts, and those that hold numbers; None for all others."""

    required: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    numbers: tuple[str, ...] | None = ()


_FORMS = {
    RUN: _Form((), ("user", "run_id", "inclusion_path", "redacted"), ("part",)),
    PROCESS_EVENT: _Form((), ("event",)),
    FOOTER: _Form((), (), None),
    COUNTS: _Form((*_FUNCTION, "entered"), (*_FUNCTION, "provider", "layer"), None),
    NOTE: _Form(("event", "begin", "end"), ("event", *_FUNCTION), ("begin", "end", "calls")),
}


def check_own_line(document: Mapping[str, Any]) -> None:
    """Refuse a metadata line that readers could not work with; further keys are let through.

    Raises:
        ValueError: It is no line that we write.
    """
    name, arguments = document["name"], document.get("args")
    if not isinstance(arguments, dict):
        raise ValueError("not a line of ours")  # noqa: TRY004 - as for all else that is wrong
    form = _FORMS.get(name, _Form())
    _check(all(key in arguments for key in form.required))
    _check(all(isinstance(arguments.get(key, ""), str) for key in form.texts))
    numbers = arguments.keys() - form.texts if form.numbers is None else form.numbers
    _check(all(_is_whole(arguments.get(key, 0), -WHOLE) for key in numbers))
    if name == RUN:
        _check(0 <= arguments.get("part", 0) < PARTS)
    if name == PROCESS_EVENT:
        _check(all(_is_whole(document.get(key), 0) for key in ("pid", "tid")))


def _is_whole(value: object, least: int) -> bool:
    return type(value) is int and least <= value < WHOLE


def _check(holds: bool) -> None:
    if not holds:
        raise ValueError("not a line of ours")

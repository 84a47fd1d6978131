"""How a run is asked for, as the request says it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from datacrumbs.model.plan import Mode
from datacrumbs.serving.denial import DenialError

if TYPE_CHECKING:
    from collections.abc import Callable

LABEL_LIMIT = 256
_LONGEST = 1 << 53


@dataclass(frozen=True, slots=True)
class OrderOptions:
    """How a run is asked for.

    Args:
        mode: ``profile``, to record less than the plan says; empty for what the plan says.
        milliseconds: When it ends by itself; 0 for the longest time that the policy allows.
        bytes: How large the trace may become; 0 for the largest size that the policy allows.
        label: What is run, for `datacrumbs list`.
    """

    mode: str = ""
    milliseconds: int = 0
    bytes: int = 0
    label: str = ""

    def within(self, milliseconds: int, size: int) -> OrderOptions:
        """The same, with these limits where there are none."""
        return replace(self, milliseconds=self.milliseconds or milliseconds, bytes=self.bytes or size)


def checked_options(value: object) -> OrderOptions:
    """The options that a caller sent.

    Raises:
        DenialError: They are not what a request may have.
    """
    known = {field.name: _CHECKS[field.name] for field in fields(OrderOptions)}
    if not isinstance(value, dict) or not value.keys() <= known.keys():
        raise DenialError("request.form", f"options: expected a mapping of some of {', '.join(known)}")
    for key, content in value.items():
        if not known[key](content):
            raise DenialError("request.form", f"options.{key}: {str(content)[:80]!a} is not one")
    return OrderOptions(**value)


def _is_number(value: object) -> bool:
    return type(value) is int and 0 < value < _LONGEST


def _is_label(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LABEL_LIMIT and value.isprintable()


_CHECKS: dict[str, Callable[[object], bool]] = {
    "mode": lambda value: value == Mode.PROFILE.value,
    "milliseconds": _is_number,
    "bytes": _is_number,
    "label": _is_label,
}

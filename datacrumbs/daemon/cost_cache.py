"""What calls cost, kept between runs in a directory that only root can write."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure.files import keep, read_kept, remove_oldest
from datacrumbs.trace.costs import CallCost

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEPT = 64
"""Files in the directory: kinds of plans, for each kernel."""
_LIMIT = 1 << 16
_SUFFIX = ".costs"
_LONGEST_NS = 10**9
_LONGEST_REASON = 200


class CostCache:
    """The costs that are kept under a key.

    Args:
        directory: Made when the first ones are kept.
        key: What they depend on.
    """

    def __init__(self, directory: Path, key: str) -> None:
        self._path = directory / f"{key}{_SUFFIX}"

    def load(self) -> dict[str, CallCost]:
        """Way of capture -> cost; empty where nothing is kept, and where others than root could have changed it."""
        with suppress(DatacrumbsError, ValueError):
            kept = read_kept(self._path, _LIMIT)
            return decode(kept)[0] if kept is not None else {}
        return {}

    def save(self, costs: Mapping[str, CallCost]) -> None:
        """Keep costs.

        Raises:
            DatacrumbsError: (exit 1) They cannot be written.
            OSError: Likewise.
        """
        keep(self._path, encode(costs))
        remove_oldest(self._path.parent, _SUFFIX, KEPT)


def encode(costs: Mapping[str, CallCost], reason: str = "") -> bytes:
    """Costs, or why there are none, as text."""
    found = {way: [cost.nanoseconds, cost.margin] for way, cost in sorted(costs.items())}
    return json.dumps({"costs": found, "reason": reason[:_LONGEST_REASON]}).encode()


def decode(text: bytes) -> tuple[dict[str, CallCost], str]:
    """What `encode` made.

    Raises:
        ValueError: It is something else.
    """
    try:
        document = json.loads(text)
        numbers = {way: [int(number) for number in pair] for way, pair in document["costs"].items()}
        reason = document["reason"]
    except (KeyError, TypeError, AttributeError):
        raise ValueError("not what calls cost") from None
    if not all(len(pair) == 2 and all(0 <= number < _LONGEST_NS for number in pair) for pair in numbers.values()):
        raise ValueError("not what calls cost")
    return {way: CallCost(*pair) for way, pair in numbers.items()}, str(reason)

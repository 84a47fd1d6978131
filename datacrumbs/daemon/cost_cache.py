"""What calls cost, kept between runs in a directory that only root can write."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure.files import check_protected, make_private, read_bounded, write_atomically
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
        self._directory = directory
        self._path = directory / f"{key}{_SUFFIX}"

    def load(self) -> dict[str, CallCost]:
        """Way of capture -> cost; empty where nothing is kept, and where others than root could have changed it."""
        if not os.path.lexists(self._path):
            return {}
        try:
            check_protected(self._directory)
            return decode(read_bounded(self._path, _LIMIT, protected=True))[0]
        except (DatacrumbsError, ValueError):
            return {}

    def save(self, costs: Mapping[str, CallCost]) -> None:
        """Keep costs.

        Raises:
            DatacrumbsError: (exit 1) They cannot be written.
            OSError: Likewise.
        """
        make_private(self._directory)
        check_protected(self._directory)
        write_atomically(self._path, encode(costs), 0o600)
        kept = sorted(self._directory.glob(f"*{_SUFFIX}"), key=lambda path: path.lstat().st_mtime_ns)
        for path in kept[:-KEPT]:
            path.unlink(missing_ok=True)


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

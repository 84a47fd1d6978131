"""The log of decisions: one line for each user and second, with what was left out counted.

A line is a JSON object in ASCII, so nothing that a caller sent can start a line of its own.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.serving.caller import Caller

log = logging.getLogger("datacrumbs.signer")

PLANS_LIMIT = 256
"""Digests of signed plans in one line; journald cuts lines of more than 48 KiB."""
WINDOW_SECONDS = 1.0
PLANNED = frozenset({"signed", "started"})
"""Outcomes whose plans are named in any case."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, about whom.

    Args:
        outcome: ``signed``, ``started``, ``refused``, ``failed`` or ``dropped``.
        code: Of a refusal.
        caller: Who asked.
        digest: Of the plan.
        reason: In words.
        milliseconds: Since its connection.
    """

    outcome: str
    code: str
    caller: Caller | None
    digest: str = ""
    reason: str = ""
    milliseconds: int | None = None


@dataclass(slots=True)
class _Held:
    """Decisions on one user within one second, of which one becomes a line."""

    last: Decision | None = None
    counts: Counter[str] = field(default_factory=Counter)
    plans: list[str] = field(default_factory=list)

    def add(self, decision: Decision) -> None:
        if self.last is not None:
            self.counts[self.last.code or self.last.outcome] += 1
            if self.last.outcome in PLANNED and len(self.plans) < PLANS_LIMIT:
                self.plans.append(self.last.digest)
        self.last = decision


class DecisionLog:
    """Writes decisions; which ones wait is decided for each share by itself.

    Args:
        later: Calls a function after a number of seconds, as the event loop does.
        write: Takes a line.
    """

    def __init__(self, later: Callable[[float, Callable[[], None]], object], write: Callable[[str], None]) -> None:
        self._later = later
        self._write = write
        self._held: dict[int, _Held] = {}

    def add(self, share: int, decision: Decision) -> None:
        """Log a decision: at once, or with the next line of this share."""
        if share in self._held:
            self._held[share].add(decision)
        else:
            self._begin(share, decision, _Held())

    def is_quiet(self, share: int) -> bool:
        """Whether the next decision of this share is written at once."""
        return share not in self._held

    def counts(self, share: int, code: str) -> bool:
        """Count another decision of this code, if the next line of this share will be of such a one already."""
        held = self._held.get(share)
        if held is None or held.last is None or held.last.code != code:
            return False
        held.counts[code] += 1
        return True

    def flush(self) -> None:
        """Write what is held, before the end."""
        for held in self._held.values():
            if held.last is not None:
                self._write(line(held.last, held.counts, held.plans))
        self._held.clear()

    def _begin(self, share: int, decision: Decision, before: _Held) -> None:
        self._held[share] = _Held()
        self._later(WINDOW_SECONDS, lambda: self._end(share))
        self._write(line(decision, before.counts, before.plans))

    def _end(self, share: int) -> None:
        held = self._held.pop(share, _Held())
        if held.last is not None:
            self._begin(share, held.last, held)


def line(decision: Decision, left_out: Counter[str] | None = None, plans: list[str] | None = None) -> str:
    """One log line: ASCII JSON with fixed keys; another host and what was left out only where there is one."""
    caller = decision.caller
    document: dict[str, object] = {
        "decision": decision.outcome,
        "code": decision.code,
        "uid": caller.uid if caller else None,
        "user": caller.user if caller else None,
        "pid": caller.pid if caller else None,
        "plan": decision.digest,
        "reason": decision.reason,
        "ms": decision.milliseconds,
    }
    if caller and caller.host:
        document["host"] = caller.host
    if left_out:
        document["left_out"] = dict(sorted(left_out.items()))
        document["signed_plans"] = plans or []
    return json.dumps(document)


def milliseconds_since(started: float) -> int:
    """Milliseconds since a reading of the monotonic clock."""
    return round((time.monotonic() - started) * 1000)

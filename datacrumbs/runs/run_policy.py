"""Who may have runs, how many, and how large: ``runs`` and ``runs_at_once`` of ``policy.yaml``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from datacrumbs.model.plan import Mode
from datacrumbs.quantities import DURATIONS, MEGABYTE, SIZES, megabytes, seconds, shown_duration, shown_size
from datacrumbs.secure.document import Value, read_document
from datacrumbs.serving.denial import DenialError
from datacrumbs.signer.policy import ASK, SECTIONS, account_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datacrumbs.probefile.envelope import SignedPlan
    from datacrumbs.runs.order_options import OrderOptions
    from datacrumbs.serving.caller import Caller

MODES = tuple(mode.value for mode in Mode)


@dataclass(frozen=True, slots=True)
class RunRule:
    """What runs some users may have; a rule without users and groups is for nobody.

    Args:
        users: Account names or numbers, or ``*`` for all accounts; an id without an account only by its number.
        groups: Group names, or ``*``.
        modes: Ways to record, ``trace`` and ``profile``.
        at_once: Most runs of one user at once.
        duration: Longest run, in seconds.
        size: Largest trace, in megabytes.
        total: Most that all files of one user may take where the host keeps traces, the next run's included.
    """

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    modes: tuple[str, ...] = MODES
    at_once: int = 1
    duration: float = 3600.0
    size: float = 1000.0
    total: float = 10_000.0


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """The rules, of which the first that applies to a caller decides, and the most runs of all users at once."""

    rules: tuple[RunRule, ...] = ()
    at_once: int = 4


def read_run_policy(path: Path) -> RunPolicy:
    """Read what the policy says of runs; without ``runs`` no user may have any.

    Raises:
        DatacrumbsError: (exit 2) for an unknown key or a wrong type; (exit 3) when somebody else
            than the administrator may change the file.
    """
    document = read_document(path, protected=True).mapping(SECTIONS)
    rules = tuple(_rule(entry) for entry in document["runs"].items()) if "runs" in document else ()
    return RunPolicy(rules, document["runs_at_once"].number()) if "runs_at_once" in document else RunPolicy(rules)


def rule_for(policy: RunPolicy, caller: Caller) -> RunRule:
    """The rule that lets this caller have runs.

    Raises:
        DenialError: When none does.
    """
    for rule in policy.rules:
        if caller.is_among(rule.users, rule.groups):
            return rule
    raise DenialError("runs.user", f"policy: no rule of `runs` is for user {caller.user}", ASK)


def shown_rule(rule: RunRule) -> dict[str, object]:
    """What a user may know of the rule: not whom else it is for."""
    return {key: value for key, value in asdict(rule).items() if key not in {"users", "groups"}}


def bounded(rule: RunRule, signed: SignedPlan, wanted: OrderOptions, caller: Caller) -> OrderOptions:
    """The options of a run, with the rule's limits where they say nothing.

    Raises:
        DenialError: When they, or the plan, go beyond the rule.
    """
    modes = {wanted.mode} if wanted.mode else {group.mode.value for group in signed.plan.groups}
    for mode in sorted(modes - set(rule.modes)):
        raise DenialError("runs.mode", f"policy: runs of mode {mode} are not allowed to {caller.user}", ASK)
    longest, largest = round(rule.duration * 1000), round(rule.size * MEGABYTE)
    if wanted.milliseconds > longest:
        raise DenialError(
            "runs.duration",
            f"policy: a run of {shown_duration(wanted.milliseconds / 1000)}; at most {shown_duration(rule.duration)} "
            f"for user {caller.user}",
            "ask for a shorter one",
        )
    if wanted.bytes > largest:
        raise DenialError(
            "runs.size",
            f"policy: a trace of {shown_size(wanted.bytes)}; at most {shown_size(largest)} for user {caller.user}",
            "ask for a smaller one",
        )
    return wanted.within(longest, largest)


def check_total(rule: RunRule, wanted: OrderOptions, taken: int, caller: Caller) -> None:
    """Refuse a run with whose trace a user's files would take more than the rule allows.

    Raises:
        DenialError: They would.
    """
    most = round(rule.total * MEGABYTE)
    if taken + wanted.bytes > most:
        raise DenialError(
            "runs.total",
            f"policy: your files where traces are kept take {shown_size(taken)}, and this run may add "
            f"{shown_size(wanted.bytes)}; at most {shown_size(most)} in all for user {caller.user}",
            "move or remove some, or ask for a smaller trace (--max-size)",
        )


def _rule(entry: Value) -> RunRule:
    values: dict[str, object] = {}
    for key, value in entry.mapping([field.name for field in fields(RunRule)]).items():
        if key == "at_once":
            values[key] = value.number()
        elif key == "modes":
            values[key] = tuple(item.choice(MODES) for item in value.items())
        elif key in _QUANTITIES:
            values[key] = _quantity(value, *_QUANTITIES[key])
        else:
            values[key] = tuple(account_name(item) for item in value.items())
    return RunRule(**values)  # type: ignore[arg-type]


def _quantity(value: Value, parse: Callable[[str], float], expected: str) -> float:
    content = value.content
    if isinstance(content, bool) or not isinstance(content, (str, int, float)):
        value.fail(f"{value.shown} is not a quantity", expected)
    try:
        return parse(str(content))
    except ValueError:
        value.fail(f"{value.shown} is not a quantity of more than 0", expected)


_QUANTITIES: dict[str, tuple[Callable[[str], float], str]] = {
    "duration": (seconds, DURATIONS),
    "size": (megabytes, SIZES),
    "total": (megabytes, SIZES),
}

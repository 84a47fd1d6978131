"""The site policy: who may have which plans signed, and for how long (``policy.yaml``)."""

from __future__ import annotations

import pwd
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from datacrumbs.model.plan import FUNCTION_LIMIT, Attach, Mode
from datacrumbs.output import counted
from datacrumbs.secure.document import Value, read_document
from datacrumbs.serving.denial import DenialError

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.model.plan import Group, Plan
    from datacrumbs.serving.caller import Caller

KERNEL = "kernel"
CALLER = "caller"
SECTIONS = ("rules", "remote_hosts", "runs", "runs_at_once")
"""Keys of the policy: of the signing service the first two, of the service that runs probe files the others."""
# What the provider `sys` probes. An event can be about another task than the one in which it happens, and an integer
# that a kernel function takes can be an address: others are the site's to allow.
EVENTS = (
    "io_uring:io_uring_submit_req",
    "io_uring:io_uring_submit_sqe",
    "io_uring:io_uring_complete",
    "block:block_rq_issue",
    "block:block_rq_complete",
    "filemap:mm_filemap_add_to_page_cache",
    "filemap:mm_filemap_delete_from_page_cache",
    "filemap:mm_filemap_fault",
)
KERNEL_FUNCTIONS = (
    *("vfs_*", "iterate_dir", "do_truncate", "do_splice_direct", "filp_close"),
    *("filemap_*", "file_write_and_wait_range", "generic_file_*", "generic_perform_write", "iomap_file_*"),
    *("page_cache_*", "do_writepages", "balance_dirty_pages_ratelimited", "ext4_*", "xfs_*"),
    *("submit_bio*", "blk_mq_submit_bio", "blkdev_*", "blk_finish_plug", "__blk_flush_plug"),
)
ASK = "ask the administrator of this host; the rule is in policy.yaml"


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """What some users may have signed; a rule without users and groups is for nobody.

    Args:
        users: Account names or numbers, or ``*`` for all accounts; an id without an account only by its number.
        groups: Group names, or ``*``.
        providers: Names of providers, as shell patterns.
        attach: Ways to attach.
        modes: Ways to record, ``trace`` and ``profile``.
        targets: Shell patterns (``*`` matches ``/`` too) of target paths; ``kernel`` for the kernel.
        events: Shell patterns of trace events of the kernel, ``category:event``.
        kernel_functions: Shell patterns of kernel functions.
        target_owners: Account names that may own a target; ``caller`` for the user who asks, ``*`` for all.
        max_functions: Most functions of a plan.
        grant_days: How long a grant holds.
    """

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    providers: tuple[str, ...] = ("*",)
    attach: tuple[str, ...] = tuple(attach.value for attach in Attach)
    modes: tuple[str, ...] = tuple(mode.value for mode in Mode)
    targets: tuple[str, ...] = ("/*", KERNEL)
    events: tuple[str, ...] = EVENTS
    kernel_functions: tuple[str, ...] = KERNEL_FUNCTIONS
    target_owners: tuple[str, ...] = ("root", CALLER)
    max_functions: int = FUNCTION_LIMIT
    grant_days: int = 30

    def applies_to(self, caller: Caller) -> bool:
        """Whether this is the rule for a caller."""
        return caller.is_among(self.users, self.groups)

    def allows_owner(self, owner: int, caller: Caller) -> bool:
        """Whether a target may belong to an account."""
        if "*" in self.target_owners or (owner == caller.uid and CALLER in self.target_owners):
            return True
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = str(owner)
        return name in self.target_owners or str(owner) in self.target_owners


def read_policy(path: Path) -> tuple[PolicyRule, ...]:
    """Read the policy; the first rule that applies to a caller decides.

    Raises:
        DatacrumbsError: (exit 2) for an unknown key or a wrong type; (exit 3) when somebody else
            than the administrator may change the file.
    """
    rules = read_document(path, protected=True).mapping(SECTIONS, required=("rules",))["rules"]
    return tuple(_rule(entry) for entry in rules.items())


def check_policy(rules: tuple[PolicyRule, ...], plan: Plan, caller: Caller) -> PolicyRule:
    """The rule that lets this caller have this plan signed.

    Raises:
        DenialError: When none applies, or the first that does forbids it.
    """
    rule = next((rule for rule in rules if rule.applies_to(caller)), None)
    if rule is None and not caller.has_account:
        raise DenialError(
            "policy.account",
            f"policy: uid {caller.uid} has no account on this host, and no rule names this number",
            "request the plan outside containers and user namespaces, as the user who owns the account",
        )
    if rule is None:
        raise DenialError("policy.user", f"policy: no rule allows user {caller.user} to have plans signed", ASK)
    if len(plan.functions) > rule.max_functions:
        raise DenialError(
            "policy.functions",
            f"policy: {counted(len(plan.functions), 'function')}; at most {rule.max_functions} for user {caller.user}",
            "select fewer functions",
        )
    for provider in plan.providers:
        if not _matches(provider.name, rule.providers):
            raise DenialError(
                "policy.provider", f"policy: provider {provider.name} is not allowed for {caller.user}", ASK
            )
    for group in plan.groups:
        if group.attach.value not in rule.attach:
            raise DenialError("policy.attach", f"policy: attach {group.attach} is not allowed for {caller.user}", ASK)
        if group.mode.value not in rule.modes:
            raise DenialError("policy.mode", f"policy: mode {group.mode} is not allowed for {caller.user}", ASK)
        if not _matches(group.target.path or KERNEL, rule.targets):
            where = group.target.path or "the kernel"
            raise DenialError("policy.target", f"policy: target {where} is not allowed for {caller.user}", ASK)
        _check_kernel_functions(rule, group, caller)
    return rule


def _check_kernel_functions(rule: PolicyRule, group: Group, caller: Caller) -> None:
    if group.attach is Attach.TRACEPOINT:
        code, kind, patterns = "policy.event", "event", rule.events
    elif group.attach is Attach.KPROBE:
        code, kind, patterns = "policy.kernel_function", "kernel function", rule.kernel_functions
    else:
        return
    for function in group.functions:
        if not _matches(function.symbol, patterns):
            raise DenialError(code, f"policy: {kind} {function.symbol} is not allowed for {caller.user}", ASK)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _rule(entry: Value) -> PolicyRule:
    defaults = {field.name: field.default for field in fields(PolicyRule)}
    values: dict[str, object] = {}
    for key, value in entry.mapping(defaults).items():
        if isinstance(defaults[key], int):
            values[key] = value.number()
        elif key in _CHOICES:
            values[key] = tuple(item.choice(_CHOICES[key]) for item in value.items())
        else:
            values[key] = tuple(account_name(item) for item in value.items())
    return PolicyRule(**values)  # type: ignore[arg-type]


def account_name(item: Value) -> str:
    """The name of a user or group in the policy."""
    # Numbers are user ids that somebody wrote without quotes.
    return str(item.content) if type(item.content) is int else item.text()


_CHOICES = {"attach": tuple(attach.value for attach in Attach), "modes": tuple(mode.value for mode in Mode)}

"""A probe file as people and scripts read it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

from datacrumbs.model.parameters import snippet_parameters
from datacrumbs.model.plan import Mode
from datacrumbs.output import counted
from datacrumbs.probefile.codec import snippet_digest
from datacrumbs.probefile.storage import instant

if TYPE_CHECKING:
    from datacrumbs.model.plan import Function, Group, Plan, Snippet
    from datacrumbs.probefile.envelope import SignedPlan

Document = dict[str, object]
_OF_FUNCTIONS = (
    "name", "symbol", "aliases", "category", "offset", "skip", "result", "returns", "snippet", "snippet_arguments",
)  # fmt: skip


def describe(signed: SignedPlan) -> Document:
    """A summary that JSON can carry: signature and grant, providers, groups, snippets, functions."""
    plan = signed.plan
    return {
        "format": plan.format,
        "digest": signed.digest,
        "signature": {"key_id": signed.key_id, "verified": signed.verified},
        "grant": dataclasses.asdict(signed.grant),
        "providers": [dataclasses.asdict(provider) for provider in plan.providers],
        "filters": dataclasses.asdict(plan.filters),
        "function_count": len(plan.functions),
        "groups": [_group(group) for group in plan.groups],
        "snippets": [_snippet(snippet) for snippet in plan.snippets],
    }


def readable(signed: SignedPlan) -> str:
    """The same as text, one function a line, ending in a line end."""
    plan = signed.plan
    lines = _heading(signed)
    lines += [
        f"provider  {entry.name} ({entry.distribution} {entry.version}), layer {entry.layer}"
        for entry in plan.providers
    ]
    lines += [
        f"snippet   {entry.provider}/{entry.name} {snippet_digest(entry.text)[:16]} {entry.licence}"
        for entry in plan.snippets
    ]
    if plan.filters.minimum_duration_ns:
        lines.append(f"filter    calls of at least {plan.filters.minimum_duration_ns} ns")
    if plan.filters.inclusion_path:
        lines.append(f"filter    files below {plan.filters.inclusion_path}")
    if not plan.filters.command_lines:
        lines.append("filter    no command lines of processes")
    if only := entries_only(plan):
        lines.append(f"entries   {only}")
    for group in plan.groups:
        target = group.target
        where = f"{target.seen_as}, here {target.path}" if target.seen_as else target.path or "kernel"
        lines += ["", f"{group.provider}: {group.attach} {where} [{target.build_id}], {_size(group)}"]
        lines += [f"  {_function_line(function)}" for function in group.functions]
    return "\n".join(lines) + "\n"


def entries_only(plan: Plan) -> str:
    """How many functions have no return probe, and why; empty when all have one."""
    reasons = Counter(
        function.returns.value for group in plan.groups for function in group.functions if not function.return_probe
    )
    each = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    if not reasons:
        return ""
    them = counted(reasons.total(), "function is probed at its entry", "functions are probed at their entries")
    return f"{them} only ({each})"


def _heading(signed: SignedPlan) -> list[str]:
    grant, key = signed.grant, signed.key_id[:16]
    state = "verified" if signed.verified else "NOT VERIFIED, all below is only a claim"
    return [
        f"plan      {signed.digest}",
        f"signature key {key}, {state}",
        f"granted   to {grant.user} (uid {grant.uid}) by {grant.signer}",
        f"valid     {instant(grant.issued)} to {instant(grant.expires)}",
        f"functions {len(signed.plan.functions)}",
    ]


def _size(group: Group) -> str:
    if group.helper:
        return f"{len(group.functions)}, followed only"
    if group.mode is Mode.PROFILE:
        return f"{len(group.functions)}, profiled"
    return f"{len(group.functions)}, one of {group.sample} calls" if group.sample > 1 else f"{len(group.functions)}"


def _group(group: Group) -> Document:
    shown = _fields(group, "provider", "layer", "attach", "mode", "sample", "helper")
    place = _fields(group.target, "path", "seen_as", "build_id")
    return {**shown, **place, "functions": [_function(function) for function in group.functions]}


def _function(function: Function) -> Document:
    arguments = [_fields(argument, "index", "label", "ctype", "role") for argument in function.arguments]
    return {**_fields(function, *_OF_FUNCTIONS), "arguments": arguments}


# Members of enumerations are texts to JSON.
def _fields(described: object, *names: str) -> Document:
    return {name: getattr(described, name) for name in names}


def _snippet(snippet: Snippet) -> Document:
    return {
        **_fields(snippet, "name", "provider", "licence"),
        "sha256": snippet_digest(snippet.text),
        "fields": [field.label for field in snippet.fields],
        "parameters": [_fields(each, "label", "low", "high") for each in snippet_parameters(snippet.text)],
    }


def _function_line(function: Function) -> str:
    arguments = ", ".join(f"{argument.label}:{argument.role}" for argument in function.arguments)
    notes = [function.symbol] if function.symbol != function.name else []
    notes += function.aliases
    if function.snippet:
        given = f"({', '.join(map(str, function.snippet_arguments))})" if function.snippet_arguments else ""
        notes.append(f"snippet {function.snippet}{given}")
    if not function.return_probe:
        notes.append(f"entries only: {function.returns}")
    moved = f"+{function.skip}" if function.skip else ""
    place = f" @{function.offset:#x}{moved}" if function.offset else ""
    suffix = f"  [{', '.join(notes)}]" if notes else ""
    return f"{function.category} {function.name}({arguments}) -> {function.result}{place}{suffix}"

"""A probe file as people and scripts read it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

from datacrumbs.model.parameters import snippet_parameters
from datacrumbs.model.plan import Mode, Plan
from datacrumbs.output import counted
from datacrumbs.probefile.codec import digest, encode, snippet_digest
from datacrumbs.probefile.envelope import SignedPlan
from datacrumbs.probefile.storage import instant

if TYPE_CHECKING:
    from datacrumbs.model.plan import Argument, Function, Group, Snippet

Document = dict[str, object]


def describe(signed_or_plan: SignedPlan | Plan) -> Document:
    """A summary that JSON can carry: signature and grant (if any), providers, groups, snippets, functions."""
    signed = signed_or_plan if isinstance(signed_or_plan, SignedPlan) else None
    plan = signed_or_plan if isinstance(signed_or_plan, Plan) else signed_or_plan.plan
    document: Document = {
        "format": plan.format,
        "digest": signed.digest if signed else digest(encode(plan)),
        "providers": [dataclasses.asdict(provider) for provider in plan.providers],
        "filters": dataclasses.asdict(plan.filters),
        "function_count": len(plan.functions),
        "groups": [_group(group) for group in plan.groups],
        "snippets": [_snippet(snippet) for snippet in plan.snippets],
    }
    if signed:
        document["signature"] = {"key_id": signed.key_id, "verified": signed.verified}
        document["grant"] = dataclasses.asdict(signed.grant)
    return document


def readable(signed_or_plan: SignedPlan | Plan) -> str:
    """The same as text, one function a line, ending in a line end."""
    plan = signed_or_plan if isinstance(signed_or_plan, Plan) else signed_or_plan.plan
    lines = _heading(signed_or_plan)
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


def _heading(signed_or_plan: SignedPlan | Plan) -> list[str]:
    if isinstance(signed_or_plan, Plan):
        return [
            f"plan      {digest(encode(signed_or_plan))}",
            "signature none",
            f"functions {len(signed_or_plan.functions)}",
        ]
    grant, key = signed_or_plan.grant, signed_or_plan.key_id[:16]
    state = "verified" if signed_or_plan.verified else "NOT VERIFIED, all below is only a claim"
    return [
        f"plan      {signed_or_plan.digest}",
        f"signature key {key}, {state}",
        f"granted   to {grant.user} (uid {grant.uid}) by {grant.signer}",
        f"valid     {instant(grant.issued)} to {instant(grant.expires)}",
        f"functions {len(signed_or_plan.plan.functions)}",
    ]


def _size(group: Group) -> str:
    if group.helper:
        return f"{len(group.functions)}, followed only"
    if group.mode is Mode.PROFILE:
        return f"{len(group.functions)}, profiled"
    return f"{len(group.functions)}, one of {group.sample} calls" if group.sample > 1 else f"{len(group.functions)}"


def _group(group: Group) -> Document:
    return {
        "provider": group.provider,
        "layer": group.layer,
        "attach": group.attach.value,
        "path": group.target.path,
        "seen_as": group.target.seen_as,
        "build_id": group.target.build_id,
        "mode": group.mode.value,
        "sample": group.sample,
        "helper": group.helper,
        "functions": [_function(function) for function in group.functions],
    }


def _function(function: Function) -> Document:
    return {
        "name": function.name,
        "symbol": function.symbol,
        "aliases": list(function.aliases),
        "category": function.category,
        "offset": function.offset,
        "skip": function.skip,
        "result": function.result.value,
        "returns": function.returns.value,
        "snippet": function.snippet,
        "snippet_arguments": list(function.snippet_arguments),
        "arguments": [_argument(argument) for argument in function.arguments],
    }


def _argument(argument: Argument) -> Document:
    return {
        "index": argument.index,
        "label": argument.label,
        "ctype": argument.ctype,
        "role": argument.role.value,
    }


def _snippet(snippet: Snippet) -> Document:
    return {
        "name": snippet.name,
        "provider": snippet.provider,
        "licence": snippet.licence,
        "sha256": snippet_digest(snippet.text),
        "fields": [field.label for field in snippet.fields],
        "parameters": [
            {"label": each.label, "low": each.low, "high": each.high} for each in snippet_parameters(snippet.text)
        ],
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

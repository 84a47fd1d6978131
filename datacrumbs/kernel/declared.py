"""Whether a plan asks of kernel events and functions only for what the kernel declares, and for no kernel address.

Signer and daemon apply the rule, each to the kernel that it runs on. What is beside the declared fields of an event's
record is left over from an earlier event on the same processor, which may be about another user's process. An address
of the kernel's memory in a trace helps to attack the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.errors import RECREATE, refusal
from datacrumbs.kernel.symbols import kernel_prototype, value_arguments
from datacrumbs.kernel.tracepoints import TEXT, declared_fields
from datacrumbs.model.plan import FOLLOWED_ROLES, Attach, Result, Role

if TYPE_CHECKING:
    from datacrumbs.kernel.btf import Prototype, TypedValue
    from datacrumbs.model.plan import Argument, Function, Plan


# Roles that make the kernel side do more with a value than record it; a field of an event is only recorded.
_VALUES = frozenset(Role) - FOLLOWED_ROLES - {Role.HANDLE, Role.CLOSED, Role.RELEASED, Role.OUT_HANDLE, Role.OUT}
_UNRECORDED = frozenset((Result.POINTER, Result.VOID))


def check_declared(plan: Plan) -> None:
    """Check the arguments of all kernel events and kernel functions of a plan against the running kernel.

    Raises:
        DatacrumbsError: (exit 3) naming the first that is not declared.
    """
    for group in plan.groups:
        if group.attach not in {Attach.TRACEPOINT, Attach.KPROBE}:
            continue
        problem = _event_problem if group.attach is Attach.TRACEPOINT else _function_problem
        for function in group.functions:
            if why := problem(function):
                kind = "event" if group.attach is Attach.TRACEPOINT else "kernel function"
                raise refusal(f"{kind} {function.symbol}: {why}", RECREATE)


def _event_problem(function: Function) -> str:
    if not function.arguments:
        return ""
    category, _, event = function.symbol.partition(":")
    fields = declared_fields(category, event)
    if fields is None:
        return "the fields of its record are not known on this host"
    by_place = {field.offset: field for field in fields}
    for argument in function.arguments:
        field = by_place.get(argument.index)
        if field is None or not _fits(argument, field):
            end = argument.index + argument.size
            return f"{argument.label}: bytes {argument.index} to {end} of the record are not a declared number or text"
        if argument.role not in _VALUES:
            return f"{argument.label}: role {argument.role} is not one of a field that is recorded"
    return ""


# A number whole; of a text its beginning.
def _fits(argument: Argument, field: TypedValue) -> bool:
    if field.scalar:
        return argument.size == field.size and not argument.ctype.startswith(TEXT)
    return argument.size <= field.size and argument.ctype == f"{TEXT}{argument.size}]" and field.ctype.startswith(TEXT)


def _function_problem(function: Function) -> str:
    prototype = kernel_prototype(function.symbol)
    if prototype is None:
        if function.arguments or function.result not in _UNRECORDED:
            return "what it takes and returns is not known on this host"
        return ""
    declared = {argument.index: argument for argument in value_arguments(prototype.parameters)}
    for argument in function.arguments:
        known = declared.get(argument.index)
        if known is None or known.size != argument.size:
            return f"{argument.label}: argument {argument.index} of {argument.size} bytes is not declared"
        if known.role is Role.OUT and argument.role not in FOLLOWED_ROLES:
            return f"{argument.label}: argument {argument.index} is an address ({known.ctype})"
        if known.role is not Role.OUT and argument.role not in _VALUES:
            return f"{argument.label}: argument {argument.index} is not an address ({known.ctype})"
    return _result_problem(function.result, prototype)


def _result_problem(result: Result, prototype: Prototype) -> str:
    if result in {Result.HANDLE, Result.MAPPING}:
        return f"result {result}: a kernel function gives programs neither"
    if result in _UNRECORDED or (prototype.result and prototype.result.scalar and not prototype.result.pointer):
        return ""
    return f"result {result}: it returns {'an address' if prototype.result else 'nothing'}"

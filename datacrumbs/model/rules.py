"""The rules of a plan: what each field of its dataclasses may hold, by the way to attach where that matters.

Everything that checks or describes a plan reads this one table: the codec, what comes from providers, the
composition, the table of functions of the kernel side, and the reference pages.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import cast

from datacrumbs.model.contract import COMPAT_CALLS, REQUESTS, SNIPPET_FIELDS, TRACEPOINT_BYTES
from datacrumbs.model.plan import (
    ARGUMENT_LIMIT,
    FORMAT,
    FUNCTION_LIMIT,
    SAMPLE_LIMIT,
    SKIP_LIMIT,
    Argument,
    Attach,
    Filters,
    Function,
    Group,
    Mode,
    Plan,
    Provenance,
    Result,
    Returns,
    Role,
    Snippet,
    Sought,
    Target,
    UsdtPlace,
)
from datacrumbs.model.rule_kinds import (
    PATH_LIMIT,
    SOURCE_LIMIT,
    AnyRule,
    Context,
    Many,
    Part,
    Rule,
    by_attach,
    is_path,
    is_source,
    member,
    nothing,
    or_empty,
    text,
    whole,
)

NAMED_LIMIT = REQUESTS
"""Files and names that the kernel side finds for one call."""
PARAMETER_LIMIT = 4
"""Whole numbers that a function gives its snippet."""
PARAMETER_VALUE_LIMIT = 4095
SNIPPET_USE_LIMIT = 255
"""Snippets in a program, one with other arguments being another one."""
FIELD_LIMIT = SNIPPET_FIELDS
"""Values that a snippet fills."""
SYSTEM_CALL_LIMIT = COMPAT_CALLS - 1
RECORD_LIMIT = TRACEPOINT_BYTES
"""Bytes of a tracepoint's record that the kernel side reads."""
ALIAS_LIMIT = 256
OFFSET_LIMIT = 1 << 47
USER_ATTACH = frozenset({Attach.UPROBE, Attach.USDT})
SIZES = (1, 2, 4, 8)
NAMED_ROLES = frozenset({Role.FD, Role.TARGET_FD, Role.PATH, Role.STRING})
HANDLE_ROLES = frozenset({Role.HANDLE, Role.CLOSED, Role.RELEASED})
FIELD_ROLES = frozenset({Role.BYTES, Role.COUNT, Role.VALUE, Role.FD, Role.STRING})
BUILD_ID = r"([0-9a-f]{2}){4,64}|sha256:[0-9a-f]{64}"


_SOURCE = Rule(f"C source without control characters, at most {SOURCE_LIMIT} characters", is_source)
_PATH = Rule(f"an absolute path without '.', '..', '//' and control characters, of at most {PATH_LIMIT} bytes", is_path)
ATTACH = member(Attach)
_FLAG = Rule("true or false", lambda value: isinstance(value, bool))
WORD = text("lower case letters, digits and underscores", r"[a-z][a-z0-9_]*", 64)
LIBRARY_NAME = text("a pattern of file names such as 'libz.so.*'", r"[A-Za-z0-9_.+*?\[\]!-]+", 128)
_LAYER = text("letters, digits, spaces and . _ + - ( )", r"[A-Za-z0-9][A-Za-z0-9 ._+()-]*", 64)
# Nothing that ends a C comment or string: these may be shown in the generated program.
_SYMBOL = text("an ELF symbol", r"(?!.*(\*/|/\*|//))[A-Za-z0-9_.$@:~()*,\[\]/-]+", 1024)
_PLACE_ARGUMENTS = text("a USDT argument format", r"[A-Za-z0-9@%$()+*,._:\[\] #!-]*", 512)
_RELEASE = text("a kernel release", r"[A-Za-z0-9][A-Za-z0-9._+~-]*", 128)
_BUILD_ID = text("a build-id in hex or sha256:<64 hex>", BUILD_ID, 136)
_FILE_OFFSET = whole(1, OFFSET_LIMIT)
_PLACES = by_attach({Attach.USDT: Many(0, 256, UsdtPlace)}, lambda _: Many(0, 0, UsdtPlace))

RULES: dict[type, dict[str, AnyRule | dict[Context, AnyRule]]] = {
    Plan: {
        "providers": Many(1, 64, Provenance),
        "groups": Many(1, FUNCTION_LIMIT, Group),
        "snippets": Many(0, 256, Snippet),
        "filters": Part(Filters),
        "sought": Many(0, 64, Sought),
        "format": text(f"'{FORMAT}'", re.escape(FORMAT), 64),
    },
    Provenance: {
        "name": WORD,
        "distribution": text("a distribution's name", r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", 128),
        "version": text("a version", r"[A-Za-z0-9][A-Za-z0-9.+!_-]*", 64),
        "layer": _LAYER,
        "position": whole(0, 1000),
    },
    Sought: {
        "provider": WORD,
        "names": Many(1, 64, LIBRARY_NAME),
    },
    Filters: {
        "minimum_duration_ns": whole(0, 3600 * 10**9),
        "inclusion_path": or_empty(_PATH),
        "command_lines": _FLAG,
    },
    Group: {
        "provider": WORD,
        "layer": _LAYER,
        "attach": ATTACH,
        "target": Part(Target),
        "functions": Many(1, FUNCTION_LIMIT, Function),
        "mode": member(Mode),
        "sample": whole(1, SAMPLE_LIMIT),
        "helper": _FLAG,
    },
    Target: {
        "path": by_attach(
            dict.fromkeys(USER_ATTACH, _PATH),
            lambda _: nothing(" (the kernel)"),
        ),
        "build_id": by_attach(dict.fromkeys(USER_ATTACH, _BUILD_ID), lambda _: _RELEASE),
        "seen_as": by_attach(dict.fromkeys(USER_ATTACH, or_empty(_PATH)), lambda _: nothing(" (the kernel)")),
    },
    Function: {
        "name": _SYMBOL,
        # The kernel finds these by name (a tracepoint as a file name), so no more than a name is let in.
        "symbol": {
            Attach.UPROBE: _SYMBOL,
            Attach.USDT: text("provider:probe", r"[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+", 1024),
            Attach.SYSCALL: text("the kernel's name of a system call", r"[a-z_][a-z0-9_]*", 1024),
            Attach.TRACEPOINT: text("category:event", r"[A-Za-z0-9_]+:[A-Za-z0-9_]+", 1024),
            Attach.KPROBE: text("a kernel symbol", r"[A-Za-z_.$][A-Za-z0-9_.$]*", 1024),
        },
        "category": text("letters, digits and _ . -", r"[A-Za-z][A-Za-z0-9_.-]*", 64),
        "offset": by_attach(
            {**dict.fromkeys(USER_ATTACH, _FILE_OFFSET), Attach.SYSCALL: whole(0, SYSTEM_CALL_LIMIT)},
            lambda _: whole(0, 0),
        ),
        "aliases": Many(0, ALIAS_LIMIT, _SYMBOL),
        "more_places": _PLACES,
        "return_places": _PLACES,
        "arguments": Many(0, ARGUMENT_LIMIT, Argument),
        "result": member(Result),
        "returns": member(Returns),
        "snippet": or_empty(WORD),
        "snippet_arguments": Many(0, PARAMETER_LIMIT, whole(0, PARAMETER_VALUE_LIMIT)),
        "usdt_arguments": by_attach({Attach.USDT: _PLACE_ARGUMENTS}, lambda _: nothing()),
        "semaphore": by_attach({Attach.USDT: whole(0, OFFSET_LIMIT)}, lambda _: whole(0, 0)),
        "skip": by_attach({Attach.UPROBE: whole(0, SKIP_LIMIT)}, lambda _: whole(0, 0)),
    },
    UsdtPlace: {"offset": _FILE_OFFSET, "semaphore": whole(0, OFFSET_LIMIT), "arguments": _PLACE_ARGUMENTS},
    Argument: {
        # Registers; the operands of a USDT note; the byte offset in a tracepoint's record; a snippet's field.
        "index": {
            Attach.UPROBE: whole(0, ARGUMENT_LIMIT - 1),
            Attach.USDT: whole(0, 11),
            Attach.SYSCALL: whole(0, ARGUMENT_LIMIT - 1),
            Attach.TRACEPOINT: whole(0, RECORD_LIMIT - 1),
            Attach.KPROBE: whole(0, ARGUMENT_LIMIT - 1),
            None: whole(0, FIELD_LIMIT - 1),
        },
        "label": WORD,
        "ctype": text("a C type", r"[A-Za-z_][A-Za-z0-9_ *\[\]()&,:<>.]*", 256),
        "role": {**dict.fromkeys(Attach, member(Role)), None: member(Role, FIELD_ROLES)},
        "size": Rule("1, 2, 4 or 8", lambda value: type(value) is int and value in SIZES),
        "signed": _FLAG,
    },
    Snippet: {
        "name": WORD,
        "text": _SOURCE,
        "provider": WORD,
        "fields": Many(0, FIELD_LIMIT, Argument),
        "licence": text("an SPDX licence expression", r"[A-Za-z0-9][A-Za-z0-9.+ ()-]*", 128),
    },
}
"""Dataclass -> field -> its rule, or one for each way to attach."""


def rule(kind: type, field: str, attach: Context = None) -> Rule:
    """The rule of a field that holds one value."""
    return cast("Rule", _any_rule(kind, field, attach))


def _any_rule(kind: type, field: str, attach: Context) -> AnyRule:
    found = RULES[kind][field]
    return found[attach] if isinstance(found, dict) else found


TABLE: dict[tuple[type, Context], tuple[tuple[str, AnyRule], ...]] = {
    (kind, attach): tuple(
        (field.name, _any_rule(kind, field.name, attach))
        for field in fields(kind)
        if not isinstance(RULES[kind][field.name], dict) or attach in RULES[kind][field.name]  # type: ignore[operator]
    )
    for kind in RULES
    for attach in (*Attach, None)
}
"""What `RULES` says of all fields of a dataclass in one context."""

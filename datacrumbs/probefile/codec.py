"""Plans to canonical JSON and back.

Equal plans give equal bytes: keys sorted, no white space, UTF-8. What comes back is checked key
by key, since it may be a stranger's; whoever holds a `Plan` from `decode` need not check again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from functools import partial
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, usage_error
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
from datacrumbs.probefile.schema import (
    CONTROL,
    absolute_path,
    choice,
    flag,
    items,
    mapping,
    problem,
    shown_place,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datacrumbs.probefile.schema import Place

SNIPPET_TEXT_LIMIT = 64 * 1024
SYSTEM_CALL_LIMIT = 511
USDT_PLACE_LIMIT = 256
USDT_ARGUMENTS_LIMIT = 512
NAME_LIMIT = 1024
ALIAS_LIMIT = 256
CTYPE_LIMIT = 256
OFFSET_LIMIT = 1 << 47
USER_ATTACH = frozenset({Attach.UPROBE, Attach.USDT})
FIELD_ROLES = frozenset({Role.BYTES, Role.COUNT, Role.VALUE, Role.FD, Role.STRING})

IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_-]*")
TITLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+()-]*")
CATEGORY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
# Nothing that ends a C comment or string: these may be shown in the generated program.
SYMBOL = re.compile(r"(?!.*(\*/|/\*|//))[A-Za-z0-9_.$@:~()*,\[\]/-]+")
CTYPE = re.compile(r"[A-Za-z_][A-Za-z0-9_ *\[\]()&,:<>.]*")
BUILD_ID = re.compile(r"([0-9a-f]{2}){4,64}|sha256:[0-9a-f]{64}")
RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*")
USDT_ARGUMENTS = re.compile(r"[A-Za-z0-9@%$()+*,._:\[\] #!-]*")
LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+ ()-]*")
LIBRARY_NAME = re.compile(r"[A-Za-z0-9_.+*?\[\]!-]+")
FORMAT_NAME = re.compile(re.escape(FORMAT))
ANY_FORMAT = re.compile(r"datacrumbs-plan/([1-9][0-9]{0,8})")
# The kernel finds these by name (a tracepoint as a file name), so no more than a name is let in.
SYMBOLS = {
    Attach.UPROBE: (SYMBOL, "an ELF symbol"),
    Attach.USDT: (re.compile(r"[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+"), "provider:probe"),
    Attach.SYSCALL: (re.compile(r"[a-z_][a-z0-9_]*"), "the kernel's name of a system call"),
    Attach.TRACEPOINT: (re.compile(r"[A-Za-z0-9_]+:[A-Za-z0-9_]+"), "category:event"),
    Attach.KPROBE: (re.compile(r"[A-Za-z_.$][A-Za-z0-9_.$]*"), "a kernel symbol"),
}
RECORD_LIMIT = 128  # bytes of a tracepoint's record that the kernel side can read
# Where an argument may stand: registers and stack, or the byte offset in a tracepoint's record.
ARGUMENT_INDEX = {
    Attach.UPROBE: 31,
    Attach.USDT: 11,
    Attach.SYSCALL: 5,
    Attach.TRACEPOINT: RECORD_LIMIT - 1,
    Attach.KPROBE: 5,
}


def encode(plan: Plan) -> bytes:
    """The canonical bytes of a plan. They are not checked; `decode` does.

    Raises:
        DatacrumbsError: (exit 2) for a string that UTF-8 cannot carry.
    """
    return canonical(_plain(plan))


def canonical(document: object) -> bytes:
    """Canonical JSON: sorted keys, no white space, UTF-8, no floating-point numbers expected."""
    try:
        return json.dumps(
            document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_no_value
        ).encode()
    except UnicodeEncodeError as error:
        raise usage_error(
            f"plan: {error.object[error.start : error.end]!a}: not Unicode text; expected names in UTF-8",
            "rename the file, or leave it out of the site file",
        ) from None


def decode(data: bytes) -> Plan:
    """Read a plan from its canonical bytes.

    Raises:
        DatacrumbsError: (exit 2) naming the key and what was expected there.
    """
    return plan_from_document(parse_canonical(data, "plan"))


def digest(plan_bytes: bytes) -> str:
    """SHA-256 in hex of a plan's canonical bytes."""
    return hashlib.sha256(plan_bytes).hexdigest()


def snippet_digest(source: str) -> str:
    """SHA-256 in hex of a snippet's text, as the list of trusted snippets has it."""
    return hashlib.sha256(source.encode()).hexdigest()


def parse(data: bytes, name: str) -> object:
    """JSON without duplicate keys and without NaN; ``name`` is what messages call it.

    Raises:
        DatacrumbsError: (exit 2).
    """
    return _loads(data, name, _unique)


def parse_canonical(data: bytes, name: str) -> object:
    """JSON in canonical form; ``name`` is what messages call it.

    Raises:
        DatacrumbsError: (exit 2).
    """
    document = _loads(data, name, None)
    if canonical(document) != data:
        parse(data, name)  # says what is wrong, if it is no more than the form
        raise usage_error(f"{name}: not in canonical form; expected sorted keys without white space")
    return document


def _loads(data: bytes, name: str, pairs: Callable[[list[tuple[str, object]]], object] | None) -> object:
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=pairs, parse_constant=_no_value)
    except (ValueError, TypeError, RecursionError) as error:
        raise usage_error(f"{name}: not valid JSON: {ascii(str(error))[1:-1][:200]}; expected UTF-8 JSON") from None


def plan_from_document(document: object) -> Plan:
    """Check a parsed plan.

    Raises:
        DatacrumbsError: (exit 2) naming the key and what was expected there.
    """
    plan = _plan(document)
    _check_references(plan)
    _check_places(plan)
    return plan


def function_problem(function: Function, attach: Attach) -> str:
    """Why a plan cannot carry a function that is probed by ``attach``; empty when it can."""
    try:
        _function(_plain(function), "function", attach, {})
    except DatacrumbsError as error:
        return error.message.removeprefix("plan: ")
    return ""


# dataclasses.asdict copies every leaf, three times slower.
def _plain(value: object) -> object:
    kind = type(value)
    if kind in KEYS:
        return {key: _plain(getattr(value, key)) for key in KEYS[kind]}
    if kind is tuple:
        return [_plain(entry) for entry in value]  # type: ignore[attr-defined]
    return value


def _no_value(value: object) -> object:
    raise TypeError(f"{value} is not a JSON value")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return document


KEYS = {
    kind: frozenset(field.name for field in dataclasses.fields(kind))
    for kind in (Plan, Provenance, Group, Target, Function, UsdtPlace, Argument, Snippet, Filters, Sought)
}


def _plan(document: object) -> Plan:
    _check_format(document)
    value = mapping(document, "(top)", KEYS[Plan])
    text(value["format"], "format", FORMAT_NAME, 64, f"'{FORMAT}'")
    return Plan(
        providers=items(value["providers"], "providers", (1, 64), _provenance),
        groups=items(value["groups"], "groups", (1, FUNCTION_LIMIT), _group),
        snippets=items(value["snippets"], "snippets", (0, 256), _snippet),
        filters=_filters(value["filters"], "filters"),
        sought=items(value["sought"], "sought", (0, 64), _sought),
    )


# A plan of another version has other keys as well, and those are not what is wrong with it.
def _check_format(document: object) -> None:
    given = document.get("format") if isinstance(document, dict) else None
    match = ANY_FORMAT.fullmatch(given) if isinstance(given, str) else None
    if match is None or given == FORMAT:
        return
    if int(match[1]) > int(FORMAT.rpartition("/")[2]):
        raise usage_error(
            f"plan: format: {given} is newer than {FORMAT}, which this version of datacrumbs reads",
            "update datacrumbs here, or compose the probe file again with this version",
        )
    raise usage_error(
        f"plan: format: {given} was made by an earlier version of datacrumbs; this one reads {FORMAT}",
        "compose the probe file again",
    )


def _provenance(document: object, at: Place) -> Provenance:
    value = mapping(document, at, KEYS[Provenance])
    return Provenance(
        name=text(value["name"], (at, "name"), IDENTIFIER, 64, "lower case, digits and underscores"),
        distribution=text(value["distribution"], (at, "distribution"), DISTRIBUTION, 128, "a distribution's name"),
        version=text(value["version"], (at, "version"), VERSION, 64, "a version"),
        layer=_layer(value["layer"], (at, "layer")),
        position=whole(value["position"], (at, "position"), 0, 1000),
    )


def _sought(document: object, at: Place) -> Sought:
    value = mapping(document, at, KEYS[Sought])
    return Sought(
        provider=text(value["provider"], (at, "provider"), IDENTIFIER, 64, "a provider's name"),
        names=items(value["names"], (at, "names"), (1, 64), _library_name),
    )


def _library_name(value: object, at: Place) -> str:
    return text(value, at, LIBRARY_NAME, 128, "a pattern of file names")


def _layer(value: object, at: Place) -> str:
    return text(value, at, TITLE, 64, "letters, digits, spaces and . _ + - ( )")


def _group(document: object, at: Place) -> Group:
    value = mapping(document, at, KEYS[Group])
    attach = choice(value["attach"], (at, "attach"), Attach)
    function = partial(_function, attach=attach, known={})
    return Group(
        provider=text(value["provider"], (at, "provider"), IDENTIFIER, 64, "a provider's name"),
        layer=_layer(value["layer"], (at, "layer")),
        attach=attach,
        target=_target(value["target"], (at, "target"), attach),
        functions=items(value["functions"], (at, "functions"), (1, FUNCTION_LIMIT), function),
        mode=choice(value["mode"], (at, "mode"), Mode),
        sample=whole(value["sample"], (at, "sample"), 1, SAMPLE_LIMIT),
        helper=flag(value["helper"], (at, "helper")),
    )


def _target(document: object, at: Place, attach: Attach) -> Target:
    value = mapping(document, at, KEYS[Target])
    if attach not in USER_ATTACH:
        if value["path"] != "":
            raise problem((at, "path"), value["path"], f"'' (the kernel), since attach is {attach}")
        return Target("", text(value["build_id"], (at, "build_id"), RELEASE, 128, "a kernel release"))
    return Target(
        path=absolute_path(value["path"], (at, "path")),
        build_id=text(value["build_id"], (at, "build_id"), BUILD_ID, 136, "a build-id in hex or sha256:<64 hex>"),
    )


# Most functions have the arguments of another one: `known` has those of the group, by their spelling.
def _function(document: object, at: Place, attach: Attach, known: dict[str, tuple[Argument, ...]]) -> Function:
    value = mapping(document, at, KEYS[Function])
    usdt = attach is Attach.USDT
    pattern, expected = SYMBOLS[attach]
    places = (0, USDT_PLACE_LIMIT if usdt else 0)
    snippet = value["snippet"]
    arguments = repr(value["arguments"])
    if arguments not in known:
        known[arguments] = _arguments(value["arguments"], (at, "arguments"), ARGUMENT_INDEX[attach])
    return Function(
        name=text(value["name"], (at, "name"), SYMBOL, NAME_LIMIT, "a function's name"),
        symbol=text(value["symbol"], (at, "symbol"), pattern, NAME_LIMIT, expected),
        category=text(value["category"], (at, "category"), CATEGORY, 64, "letters, digits and _ . -"),
        offset=_offset(value["offset"], (at, "offset"), attach),
        skip=whole(value["skip"], (at, "skip"), 0, SKIP_LIMIT if attach is Attach.UPROBE else 0),
        aliases=items(value["aliases"], (at, "aliases"), (0, ALIAS_LIMIT), _alias),
        more_places=items(value["more_places"], (at, "more_places"), places, _usdt_place),
        return_places=items(value["return_places"], (at, "return_places"), places, _usdt_place),
        arguments=known[arguments],
        result=choice(value["result"], (at, "result"), Result),
        returns=choice(value["returns"], (at, "returns"), Returns),
        snippet=snippet if snippet == "" else text(snippet, (at, "snippet"), IDENTIFIER, 64, "a snippet's name or ''"),
        usdt_arguments=_usdt_arguments(value["usdt_arguments"], (at, "usdt_arguments"), attach),
        semaphore=whole(value["semaphore"], (at, "semaphore"), 0, OFFSET_LIMIT if usdt else 0),
    )


def _usdt_place(document: object, at: Place) -> UsdtPlace:
    value = mapping(document, at, KEYS[UsdtPlace])
    return UsdtPlace(
        offset=whole(value["offset"], (at, "offset"), 1, OFFSET_LIMIT),
        semaphore=whole(value["semaphore"], (at, "semaphore"), 0, OFFSET_LIMIT),
        arguments=_usdt_arguments(value["arguments"], (at, "arguments"), Attach.USDT),
    )


def _usdt_arguments(value: object, at: Place, attach: Attach) -> str:
    usdt = attach is Attach.USDT
    expected = "a USDT argument format" if usdt else f"'', since attach is {attach}"
    return text(value, at, USDT_ARGUMENTS, USDT_ARGUMENTS_LIMIT if usdt else 0, expected)


def _alias(value: object, at: Place) -> str:
    return text(value, at, SYMBOL, NAME_LIMIT, "a symbol")


def _offset(value: object, at: Place, attach: Attach) -> int:
    if attach in USER_ATTACH:
        return whole(value, at, 1, OFFSET_LIMIT)
    return whole(value, at, 0, SYSTEM_CALL_LIMIT if attach is Attach.SYSCALL else 0)


def _arguments(value: object, at: Place, last_index: int) -> tuple[Argument, ...]:
    arguments = items(value, at, (0, ARGUMENT_LIMIT), partial(_argument, last_index=last_index))
    labels = [argument.label for argument in arguments]
    for position, label in enumerate(labels):
        if label in labels[:position]:
            raise usage_error(
                f"plan: {shown_place(at)}[{position}].label: {label} is used twice; expected labels that differ"
            )
    return arguments


def _argument(document: object, at: Place, last_index: int) -> Argument:
    value = mapping(document, at, KEYS[Argument])
    size = whole(value["size"], (at, "size"), 1, 8)
    if size not in {1, 2, 4, 8}:
        raise problem((at, "size"), size, "1, 2, 4 or 8")
    index = whole(value["index"], (at, "index"), 0, last_index)
    if last_index == ARGUMENT_INDEX[Attach.TRACEPOINT] and index + size > RECORD_LIMIT:
        raise problem((at, "index"), index, f"a field that ends within the first {RECORD_LIMIT} bytes of the record")
    return Argument(
        index=index,
        label=text(value["label"], (at, "label"), IDENTIFIER, 64, "lower case, digits and underscores"),
        ctype=text(value["ctype"], (at, "ctype"), CTYPE, CTYPE_LIMIT, "a C type"),
        role=choice(value["role"], (at, "role"), Role),
        size=size,
        signed=flag(value["signed"], (at, "signed")),
    )


def _snippet(document: object, at: Place) -> Snippet:
    value = mapping(document, at, KEYS[Snippet])
    source = value["text"]
    plain = source.translate({ord("\n"): None, ord("\t"): None}) if isinstance(source, str) else ""
    if not isinstance(source, str) or not plain or CONTROL.search(plain) or len(source) > SNIPPET_TEXT_LIMIT:
        raise problem((at, "text"), source, f"C source without control characters, at most {SNIPPET_TEXT_LIMIT}")
    fields = _arguments(value["fields"], (at, "fields"), ARGUMENT_LIMIT - 1)
    for position, field in enumerate(fields):
        if field.index != position:
            raise problem((((at, "fields"), position), "index"), field.index, f"{position}, its place in the list")
        if field.role not in FIELD_ROLES:
            raise problem((((at, "fields"), position), "role"), field.role.value, ", ".join(sorted(FIELD_ROLES)))
    return Snippet(
        name=text(value["name"], (at, "name"), IDENTIFIER, 64, "lower case, digits and underscores"),
        provider=text(value["provider"], (at, "provider"), IDENTIFIER, 64, "a provider's name"),
        text=source,
        fields=fields,
        licence=text(value["licence"], (at, "licence"), LICENCE, 128, "an SPDX licence expression"),
    )


def _filters(document: object, at: Place) -> Filters:
    value = mapping(document, at, KEYS[Filters])
    inclusion = value["inclusion_path"]
    return Filters(
        minimum_duration_ns=whole(value["minimum_duration_ns"], (at, "minimum_duration_ns"), 0, 3600 * 10**9),
        inclusion_path=inclusion if inclusion == "" else absolute_path(inclusion, (at, "inclusion_path")),
    )


# What names something elsewhere in the plan names something that is there, once.
def _check_references(plan: Plan) -> None:
    names = [provider.name for provider in plan.providers]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise usage_error(f"plan: providers[{index}].name: {name} appears twice; expected each provider once")
    snippets = _snippets_by_name(plan, names)
    if (total := len(plan.functions)) > FUNCTION_LIMIT:
        raise usage_error(f"plan: groups: {total} functions; expected at most {FUNCTION_LIMIT}")
    for at, group in _groups(plan):
        if group.provider not in names:
            raise problem((at, "provider"), group.provider, "a provider of this plan")
        for index, function in enumerate(group.functions):
            if function.snippet:
                used = snippets.get((group.provider, function.snippet))
                _check_snippet_use(function, used, f"{at}.functions[{index}]")


def _snippets_by_name(plan: Plan, providers: list[str]) -> dict[tuple[str, str], Snippet]:
    snippets: dict[tuple[str, str], Snippet] = {}
    for index, snippet in enumerate(plan.snippets):
        if snippet.provider not in providers:
            raise problem(f"snippets[{index}].provider", snippet.provider, "a provider of this plan")
        if (snippet.provider, snippet.name) in snippets:
            raise usage_error(f"plan: snippets[{index}].name: {snippet.name} appears twice; expected each snippet once")
        snippets[snippet.provider, snippet.name] = snippet
    return snippets


def _check_snippet_use(function: Function, snippet: Snippet | None, at: str) -> None:
    if snippet is None:
        raise problem((at, "snippet"), function.snippet, "a snippet of this plan and of the group's provider")
    if len(function.arguments) + len(snippet.fields) > ARGUMENT_LIMIT:
        raise usage_error(
            f"plan: {at}: {len(function.arguments)} arguments and {len(snippet.fields)} fields of snippet "
            f"{snippet.name}; expected at most {ARGUMENT_LIMIT} together"
        )
    labels = {argument.label for argument in function.arguments}
    for field in snippet.fields:
        if field.label in labels:
            raise usage_error(f"plan: {at}: {field.label} is an argument and a field; expected labels that differ")


# Two probes at one place would count every call twice.
def _check_places(plan: Plan) -> None:
    seen: set[tuple[str, str, str | int]] = set()
    for at, group in _groups(plan):
        for index, function in enumerate(group.functions):
            by_name = group.attach in {Attach.TRACEPOINT, Attach.KPROBE}
            place = function.symbol if by_name else function.offset
            key = (group.attach.value, group.target.path, place)
            if key in seen:
                raise usage_error(
                    f"plan: {at}.functions[{index}]: {place} is probed twice; expected one function with aliases"
                )
            seen.add(key)


def _groups(plan: Plan) -> Iterator[tuple[str, Group]]:
    return ((f"groups[{index}]", group) for index, group in enumerate(plan.groups))

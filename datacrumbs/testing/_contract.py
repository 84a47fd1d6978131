"""The provider contract as one check, with every breach listed."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from datacrumbs.configure.host import current_host
from datacrumbs.engine.complaints import find_complaints
from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.model.licences import licence_problem
from datacrumbs.plugins import hookspecs, load_module, resolve_options
from datacrumbs.provider import ENTRY_POINT_GROUP, CheckState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    from datacrumbs.engine.complaints import Fault
    from datacrumbs.plugins import InstalledProvider, Providers
    from datacrumbs.provider import Function, Host, Options, ProbeTarget, Snippet

_HOOK_PREFIX = "datacrumbs_"
# A snippet is linked into the one program: what it includes, maps or prints is not its own.
_FORBIDDEN = {
    r"^\s*#\s*include\b": "an #include; the engine's macros are all that a snippet may use",
    r"\bbpf_(map|ringbuf|perf_event)_\w+": "a map or ring buffer; a snippet fills its fields and nothing else",
    r"\bBPF_(HASH|ARRAY|TABLE|PERF|RINGBUF|STACK|LPM|DEVMAP|CPUMAP|PROG)\w*": "a map of its own",
    r"\bbpf_trace_printk\b": "bpf_trace_printk; the kernel's log is not for traced programs",
    r"\bbpf_probe_read\w*": "bpf_probe_read; use DC_READ, which counts what fails",
    r"\bbpf_probe_write_user\b": "a write into the traced program",
}


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """What a provider gave on this host.

    Args:
        provider: Who it is.
        targets: What it can probe here, with the functions of each.
        snippets: Its snippets.
        compiled: Whether its snippets were compiled; that takes bcc and kernel headers. As root the kernel's
            verifier saw them, too.
    """

    provider: InstalledProvider
    targets: tuple[tuple[ProbeTarget, tuple[Function, ...]], ...]
    snippets: tuple[Snippet, ...]
    compiled: bool = False

    def functions(self, name: str) -> tuple[Function, ...]:
        """The functions of all targets that have this name or symbol."""
        return tuple(
            function
            for _, functions in self.targets
            for function in functions
            if name in {function.name, function.symbol, *function.aliases}
        )


def check_provider(module: ModuleType, host: Host | None = None) -> ProviderReport:
    """Check that a module keeps the provider contract on this host.

    Checked are: the hooks' names and markers; that an installed distribution has an entry point for the module;
    types, names and limits of all that the hooks return; that they return the same when asked twice, and something
    sound without environment variables; the snippets' form, and where this host has bcc and kernel headers that they
    compile (as root, that the kernel takes them); the presets; the doctor checks.

    Args:
        module: The module that the entry point names.
        host: The machine to ask for; None for this one.

    Returns:
        What the provider gave.

    Raises:
        AssertionError: With every breach on a line of its own.
    """
    host = host or current_host()
    problems = list(_hook_problems(module))
    try:
        providers = load_module(module, *_installed_as(module))
        (name,) = providers.names
        options = resolve_options(name, providers.describe(name).described.options, {})
        report = _ask(providers, host, options)
        _ask(providers, replace(host, environment={}), options)
        problems += _report_problems(providers, report, host)
        faults = _snippet_faults(report.snippets)
        report = replace(report, compiled=faults is not None)
        problems += map(str, faults or ())
    except (DatacrumbsError, AttributeError) as error:
        problems.append(str(error))
    if problems:
        raise AssertionError("\n".join(["the provider contract is broken:", *problems]))
    return report


def _hook_problems(module: ModuleType) -> Iterator[str]:
    specified = {name for name in vars(hookspecs) if name.startswith(_HOOK_PREFIX)}
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if not name.startswith(_HOOK_PREFIX):
            continue
        if name not in specified:
            yield f"{name}: no such hook; the hooks are {', '.join(sorted(specified))}"
        elif not hasattr(function, "datacrumbs_impl"):
            yield f"{name}: not marked; put @hookimpl of datacrumbs.provider above it"


# Name, distribution and version of a provider are those of its entry point and of what is installed.
def _installed_as(module: ModuleType) -> tuple[str, str, str]:
    for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        if point.value == module.__name__ and point.dist is not None:
            return point.name, point.dist.name, point.dist.version
    raise usage_error(
        f"no installed distribution has an entry point NAME = {module.__name__} in the group {ENTRY_POINT_GROUP}; "
        "install the provider to test it"
    )


def _ask(providers: Providers, host: Host, options: Options) -> ProviderReport:
    (name,) = providers.names
    targets = providers.targets(name, host, options)
    described = tuple((target, providers.functions(name, target, options)) for target in targets)
    return ProviderReport(providers.describe(name), described, providers.snippets(name))


def _report_problems(providers: Providers, report: ProviderReport, host: Host) -> Iterator[str]:
    again = _ask(providers, host, resolve_options(report.provider.name, report.provider.described.options, {}))
    if again.targets != report.targets:
        yield "asked twice, the provider gives different targets or functions; plans must be deterministic"
    for snippet in report.snippets:
        yield from _snippet_problems(snippet)
    presets = {preset.name: preset for preset in providers.presets(report.provider.name)}
    if "all" not in presets:
        yield "presets: there is no preset 'all'"
    elif presets["all"].functions != frozenset():
        yield "preset 'all': names functions; expected an empty set, which means all"
    for preset in presets.values():
        providers.selected(report.provider.name, preset)
    for check in providers.checks(report.provider.name, host):
        if check.state is not CheckState.OK and not check.fix:
            yield f"check {check.name!r}: {check.state.value}, but does not say how to fix it"


# None where nothing can be compiled.
def _snippet_faults(snippets: Sequence[Snippet]) -> tuple[Fault, ...] | None:
    if not snippets:
        return ()
    with suppress(DatacrumbsError):
        return find_complaints(snippets)
    return None


def _snippet_problems(snippet: Snippet) -> Iterator[str]:
    where = f"snippet {snippet.name!r}"
    lines = snippet.text.splitlines()
    if not (lines[0].startswith(("/*", "//"))):
        yield f"{where}: the first line is not a comment that says what it is for"
    if problem := licence_problem(snippet):
        yield f"{where}: {problem}"
    code = re.sub(r"/\*.*?\*/|//[^\n]*", " ", snippet.text, flags=re.DOTALL)
    for pattern, problem in _FORBIDDEN.items():
        if found := re.search(pattern, code, re.MULTILINE):
            yield f"{where}: {found[0].strip()}: {problem}"
    for field in range(len(snippet.fields)):
        if not re.search(rf"DC_SET_FIELD(_STRING)?\(\s*call\s*,\s*{field}\s*,", code):
            yield f"{where}: field {field} ({snippet.fields[field].label}) is never set"

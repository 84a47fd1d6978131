"""Functions that an entry of a site file asks for, before they are merged into a plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from datacrumbs.configure.indirect import refusals, with_implementations
from datacrumbs.configure.site import UNSAID
from datacrumbs.output import counted
from datacrumbs.plugins import OptionError, resolve_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from datacrumbs.configure.indirect import Known
    from datacrumbs.configure.site import Detail, ProviderEntry
    from datacrumbs.plugins import Providers
    from datacrumbs.provider import Attach, Function, Host, Options, Preset, ProbeTarget, Target

DEFAULT_PRESET = "default"
"""The preset of an entry that names none, where the provider has it; else every function."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A function that an entry selected.

    Args:
        provider: Whose description of the function it is; ``site`` when no provider knows it.
        attach: How to probe it.
        target: Where it is.
        function: Its description.
        entry: What messages call the entry.
        detail: How much of its calls is kept.
        helper: No entry selected it; its calls are followed for the handles that others use.
    """

    provider: str
    attach: Attach
    target: Target
    function: Function
    entry: str
    detail: Detail = UNSAID
    helper: bool = False


def changed(candidate: Candidate, **fields: Any) -> Candidate:
    """A candidate with other values of some fields; itself where they are what it has.

    There are thousands, and making one takes longer than most of what is done with it.
    """
    for name, value in fields.items():
        own = getattr(candidate, name)
        if own is not value and own != value:
            return replace(candidate, **fields)
    return candidate


@dataclass(frozen=True, slots=True)
class Selected:
    """What came of one entry: functions, or the reason why there are none.

    ``absent`` is True when the reason is this host: a library or a kernel feature that is not here. ``notes`` say
    what was left out of the functions, and why.
    """

    candidates: tuple[Candidate, ...] = ()
    reason: str = ""
    absent: bool = False
    notes: tuple[str, ...] = ()


class Sources:
    """The providers of one composition, asked at most once for each thing."""

    def __init__(self, providers: Providers, host: Host) -> None:
        self.providers, self.host = providers, host
        self._targets: dict[object, tuple[ProbeTarget, ...]] = {}
        self._known: dict[tuple[str, ProbeTarget, object], Known] = {}

    def targets(self, name: str, options: Options) -> tuple[ProbeTarget, ...]:
        """What provider ``name`` can probe here."""
        key = (name, tuple(options.items()))
        if key not in self._targets:
            self._targets[key] = self.providers.targets(name, self.host, options)
        return self._targets[key]

    def functions(self, name: str, target: ProbeTarget, options: Options) -> tuple[Function, ...]:
        """The functions that provider ``name`` knows in ``target``, and that can be probed."""
        return self.known(name, target, options).functions

    def known(self, name: str, target: ProbeTarget, options: Options) -> Known:
        """All that provider ``name`` knows in ``target``."""
        key = (name, target, tuple(options.items()))
        if key not in self._known:
            functions = self.providers.functions(name, target, options)
            self._known[key] = with_implementations(target, functions, self.host.root)
        return self._known[key]

    def asked(self, name: str) -> Iterator[tuple[ProbeTarget, Function]]:
        """Every function that provider ``name`` was asked for so far."""
        for (provider, target, _), known in self._known.items():
            if provider == name:
                yield from ((target, function) for function in known.functions)

    def defaults(self, name: str) -> Options:
        """The options of provider ``name`` when nothing is said."""
        return resolve_options(name, self.providers.describe(name).described.options, {})


def provider_candidates(entry: ProviderEntry, sources: Sources, preset: str) -> Selected:
    """The functions that an entry naming a provider selects.

    Args:
        entry: Its provider is loaded.
        sources: The providers.
        preset: A preset from the command line; it takes the place of the entry's where the provider has it.

    Raises:
        DatacrumbsError: (exit 2) for an option or a preset that the provider does not have.
    """
    options = _options(entry, sources)
    chosen = _preset(entry, sources, preset)
    targets = sources.targets(entry.provider, options)
    if not targets:
        program = sources.host.program
        where = f"among the libraries that {program} loads" if program else "on this host"
        return Selected(reason=f"found nothing to probe {where}", absent=True)
    names = sources.providers.selected(entry.provider, chosen) if chosen else None
    candidates: list[Candidate] = []
    notes: list[str] = []
    seen = 0
    for target in targets:
        known = sources.known(entry.provider, target, options)
        seen += len(known.functions)
        candidates += [
            Candidate(entry.provider, target.attach, target.target, function, entry.label)
            for function in _chosen(known.functions, names, entry)
        ]
        why = dict(known.refused)
        refused = _chosen(why, names, entry)
        notes += refusals([(function.symbol, why[function]) for function in refused], target.target.path)
    if candidates or notes:
        return Selected(tuple(candidates), notes=tuple(notes))
    asked = [f"preset {chosen.name!r}"] if chosen else []
    if entry.functions:
        asked.append(f"functions {entry.functions.expression.pattern!r}")
    return Selected(reason=f"{' and '.join(asked) or 'the options'} select none of {counted(seen, 'function')}")


def symbols_of(function: Function) -> tuple[str, ...]:
    """All names by which a site file may select a function."""
    return (function.symbol, function.name, *function.aliases)


def matching(functions: Iterable[Function], entry: ProviderEntry) -> list[Function]:
    """Those whose symbol, name or alias the entry's expression matches."""
    functions = tuple(functions)
    if entry.functions is None:
        return list(functions)
    hits = entry.functions.select({symbol for function in functions for symbol in symbols_of(function)})
    return [function for function in functions if not hits.isdisjoint(symbols_of(function))]


def _options(entry: ProviderEntry, sources: Sources) -> Options:
    given = {key: value.plain for key, value in entry.options.items()}
    try:
        return resolve_options(entry.provider, sources.providers.describe(entry.provider).described.options, given)
    except OptionError as error:
        raise entry.options[error.key].error(str(error)) from None


def _preset(entry: ProviderEntry, sources: Sources, override: str) -> Preset | None:
    presets = {preset.name: preset for preset in sources.providers.presets(entry.provider)}
    if override in presets:
        return presets[override]
    if entry.preset:
        if entry.preset not in presets and entry.where is not None:
            where = entry.where.mapping()["preset"]
            where.choice(tuple(sorted(presets)))
        return presets[entry.preset]
    # An entry that selects by functions or options means those, not what a default leaves of them.
    return None if entry.functions or entry.options else presets.get(DEFAULT_PRESET)


def _chosen(functions: Iterable[Function], names: frozenset[str] | None, entry: ProviderEntry) -> list[Function]:
    if names is not None:
        functions = [function for function in functions if {function.name, function.symbol} & names]
    return matching(functions, entry)

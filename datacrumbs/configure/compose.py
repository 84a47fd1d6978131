"""Site configuration and providers in, probe plan out. Same inputs give the same plan."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs import __version__
from datacrumbs.configure.candidates import Candidate, Selected, Sources, changed, provider_candidates
from datacrumbs.configure.expressible import expressible
from datacrumbs.configure.helpers import helpers
from datacrumbs.configure.merge import merge, one_posix_layer, with_safe_returns
from datacrumbs.configure.placing import place_probes
from datacrumbs.configure.reference_entries import SITE, reference_candidates
from datacrumbs.configure.site import UNSAID, Entry, ProbeKind, ProviderEntry, ReferenceEntry
from datacrumbs.elf.roots import Root
from datacrumbs.errors import did_you_mean, usage_error
from datacrumbs.model.plan import FUNCTION_LIMIT, Group, Mode, Plan, Provenance, Sought
from datacrumbs.output import counted
from datacrumbs.plugins import load_providers
from datacrumbs.provider import Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from datacrumbs.configure.site import SiteConfiguration
    from datacrumbs.plugins import InstalledProvider, Providers
    from datacrumbs.provider import Host, Snippet

WARNING_SHARE = 0.9
"""Share of the function limit from which on the user is warned."""
REFERENCE_WORDS = (SITE, *(kind.value for kind in ProbeKind))
"""What ``--providers`` and ``--without`` take beside names of providers."""
_SITE_PROVENANCE = Provenance(SITE, "datacrumbs", __version__, "site file", Layer.C_LIBRARY.position + 5)


@dataclass(frozen=True, slots=True)
class Selection:
    """What the command line selects of a site file.

    Args:
        only: Providers to take, with an entry of their own where the site file has none; entries of the
            reference system's form stay when ``site`` or their ``probe`` is named. Empty: all of the site file.
        without: Providers, or values of ``probe``, to leave out.
        preset: Takes the place of the entries' presets, in the providers that have it.
        move: False to leave each probe on its function's first instruction, whatever the site file says.
    """

    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    preset: str = ""
    move: bool = True

    @property
    def providers(self) -> tuple[str, ...] | None:
        """The providers to load; None for all that are installed."""
        return tuple(name for name in self.only if name not in REFERENCE_WORDS) if self.only else None

    @property
    def unloaded(self) -> tuple[str, ...]:
        """The providers not to load."""
        return tuple(name for name in self.without if name not in REFERENCE_WORDS)


@dataclass(slots=True)
class Report:
    """What the user should know about a composition; notes are lines."""

    note: Callable[[str], None] = field(default=lambda _: None)
    progress: Callable[[str, int, int], None] = field(default=lambda _label, _done, _total: None)


def load_selected(site: SiteConfiguration, selection: Selection) -> Providers:
    """The installed providers that a site file and the command line leave.

    Raises:
        DatacrumbsError: As `load_providers` does.
    """
    named = {entry.provider for entry in site.entries if isinstance(entry, ProviderEntry)}
    return load_providers(selection.unloaded, selection.providers, named)


def compose(
    site: SiteConfiguration,
    providers: Providers,
    host: Host,
    selection: Selection | None = None,
    report: Report | None = None,
) -> Plan:
    """Make the probe plan of a site file for this host.

    Args:
        site: What to probe.
        providers: The loaded providers.
        host: The machine, and the program when libraries are to be those of one program.
        selection: What the command line leaves of the site file.
        report: Told what the user should know, and how far it is: the entry's label, how many are done, of how many.

    Returns:
        The plan, its groups from the application down to the kernel.

    Raises:
        DatacrumbsError: (exit 2) for an entry that cannot be followed, for no function at all, and for
            more than `FUNCTION_LIMIT`.
    """
    selection, report = selection or Selection(), report or Report()
    sources = Sources(providers, host)
    entries = _selected_entries(site, selection)
    _check_preset(entries, providers, selection)
    candidates: list[Candidate] = []
    reasons: dict[str, list[str]] = defaultdict(list)
    about: set[str] = set()
    for done, entry in enumerate(entries):
        report.progress(entry.label, done, len(entries))
        found = _candidates_of(entry, sources, selection)
        candidates += [changed(each, detail=entry.detail) for each in found.candidates]
        if isinstance(entry, ProviderEntry) and (found.candidates or found.absent):
            about.add(entry.provider)
        for reason in (*found.notes, *([found.reason] if found.reason else [])):
            reasons[reason].append(entry.label)
    report.progress("", len(entries), len(entries))
    if not candidates:
        raise _nothing(site, reasons)
    for reason, labels in reasons.items():
        report.note(f"{_together(labels)}: {reason}")
    candidates += helpers(candidates, sources)
    merged = _merged(candidates, site, providers, report)
    placed = place_probes(merged, report.note, move=site.move_probes and selection.move)
    if all(each.helper for each in placed):  # helpers alone: not one call would be written
        raise _nothing_left(site)
    plan = replace(_plan(placed, site, providers), sought=_sought(about, providers))
    plan = replace(plan, groups=tuple(_seen_in(Root(host.root), group) for group in plan.groups))
    _check_limit(plan, report)
    return plan


def _selected_entries(site: SiteConfiguration, selection: Selection) -> list[Entry]:
    entries = [entry for entry in site.entries if _wanted(entry, selection)]
    named = {entry.provider for entry in entries if isinstance(entry, ProviderEntry)}
    asked = [name for name in selection.providers or () if name not in named and name not in selection.without]
    return entries + [ProviderEntry(name) for name in sorted(set(asked))]


def _wanted(entry: Entry, selection: Selection) -> bool:
    words = {entry.provider} if isinstance(entry, ProviderEntry) else {SITE, entry.probe.value}
    return (not selection.only or not words.isdisjoint(selection.only)) and words.isdisjoint(selection.without)


def _check_preset(entries: Iterable[Entry], providers: Providers, selection: Selection) -> None:
    if not selection.preset:
        return
    names = sorted({entry.provider for entry in entries if isinstance(entry, ProviderEntry)} & set(providers.names))
    presets = {preset.name for name in names for preset in providers.presets(name)}
    if selection.preset not in presets:
        meant = did_you_mean(selection.preset, presets)
        raise usage_error(
            f"--preset: no selected provider has a preset {selection.preset!r}{meant}",
            f"there are: {', '.join(sorted(presets))}; datacrumbs_probe_configurator --list shows them"
            if presets
            else "the selected providers have no presets: leave --preset out",
        )


def _candidates_of(entry: Entry, sources: Sources, selection: Selection) -> Selected:
    if isinstance(entry, ReferenceEntry):
        return reference_candidates(entry, sources)
    if entry.provider not in sources.providers:
        raise _unknown_provider(entry, sources.providers)
    found = provider_candidates(entry, sources, selection.preset)
    if found.absent and entry.provider in selection.only:
        raise usage_error(
            f"--providers: {entry.provider} {found.reason}", "datacrumbs_doctor says what is missing and how to fix it"
        )
    return found


def _unknown_provider(entry: ProviderEntry, providers: Providers) -> Exception:
    return usage_error(
        f"{entry.label}: no provider {entry.provider!r} is installed{did_you_mean(entry.provider, providers.names)}; "
        f"expected one of {', '.join(providers.names) or 'none: no provider is installed'}",
        f"install the distribution that has it, or go on without it: --without {entry.provider}",
    )


def _nothing(site: SiteConfiguration, reasons: Mapping[str, Sequence[str]]) -> Exception:
    if not reasons:
        return usage_error(
            f"{site.file}: nothing to probe: no entry is left; expected entries under capture_probes",
            "add `- provider: sys`, or name providers with --providers",
        )
    lines = [f"{label}: {reason}" for reason, labels in reasons.items() for label in labels]
    return usage_error(
        "\n  ".join([f"{site.file}: no function to probe is left:", *lines]),
        "datacrumbs_probe_configurator --list shows what can be probed on this host",
    )


def _nothing_left(site: SiteConfiguration) -> Exception:
    return usage_error(
        f"{site.file}: no function to probe is left of those that were selected",
        "the lines above say why; choose other functions",
    )


# What a whole cluster's site file lacks on one host would fill the screen with one reason.
def _together(labels: Sequence[str]) -> str:
    more = len(labels) - 1
    return labels[0] if not more else f"{labels[0]} and {counted(more, 'more entry', 'more entries')}"


def _merged(
    candidates: Iterable[Candidate], site: SiteConfiguration, providers: Providers, report: Report
) -> list[Candidate]:
    # Where a provider and the site file describe one place, the provider knows more.
    precedence = {provider.name: provider.described.layer.position for provider in providers.all()} | {SITE: 1 << 16}
    merged = with_safe_returns(one_posix_layer(merge(candidates, precedence, report.note)))
    detailed = [changed(each, detail=each.detail.over(site.detail)) for each in expressible(merged, report.note)]
    if followed := sum(each.helper for each in detailed):
        more = counted(followed, "more function is", "more functions are")
        report.note(f"{more} followed, and not written: they open and close what others use")
    return detailed


def _seen_in(root: Root, group: Group) -> Group:
    path = Path(group.target.path)
    seen = root.seen(path) if group.target.path else path
    return group if seen == path else replace(group, target=replace(group.target, seen_as=str(seen)))


def _plan(candidates: Iterable[Candidate], site: SiteConfiguration, providers: Providers) -> Plan:
    provenance = {provider.name: provider for provider in map(_provenance, providers.all())} | {SITE: _SITE_PROVENANCE}
    groups = _groups(candidates, provenance)
    used = {group.provider for group in groups}
    return Plan(
        providers=tuple(sorted((provenance[name] for name in used), key=lambda entry: (entry.position, entry.name))),
        groups=groups,
        snippets=_snippets(groups, providers),
        filters=site.filters,
    )


# A library of a provider may be where it is not looked for now, such as in a container.
def _sought(names: Iterable[str], providers: Providers) -> tuple[Sought, ...]:
    described = map(providers.describe, sorted(names))
    found = ((each.name, each.described.libraries) for each in described)
    return tuple(Sought(name, tuple(sorted(libraries))) for name, libraries in found if libraries)


def _provenance(provider: InstalledProvider) -> Provenance:
    layer = provider.described.layer
    return Provenance(provider.name, provider.distribution, provider.version, layer.value, layer.position)


def _groups(candidates: Iterable[Candidate], provenance: dict[str, Provenance]) -> tuple[Group, ...]:
    def group_key(each: Candidate) -> tuple[int, str, str, str, str, bool, Mode, int]:
        position = provenance[each.provider].position
        place = (each.attach.value, each.target.path, each.target.build_id)
        detail = UNSAID if each.helper else each.detail
        mode = detail.mode or Mode.TRACE
        return position, each.provider, *place, each.helper, mode, detail.sample or 1 if mode is Mode.TRACE else 1

    def function_key(each: Candidate) -> tuple[str, str, int]:
        return each.function.name, each.function.symbol, each.function.offset

    members: dict[tuple[int, str, str, str, str, bool, Mode, int], list[Candidate]] = defaultdict(list)
    for each in candidates:
        members[group_key(each)].append(each)
    groups = []
    for key in sorted(members):
        *_, helper, mode, sample = key
        same = sorted(members[key], key=function_key)
        first = same[0]
        layer = provenance[first.provider].layer
        functions = tuple(each.function for each in same)
        groups.append(Group(first.provider, layer, first.attach, first.target, functions, mode, sample, helper))
    return tuple(groups)


def _snippets(groups: Iterable[Group], providers: Providers) -> tuple[Snippet, ...]:
    used = {(group.provider, function.snippet) for group in groups for function in group.functions if function.snippet}
    names = sorted({provider for provider, _ in used})
    found = [snippet for name in names for snippet in providers.snippets(name) if (name, snippet.name) in used]
    return tuple(sorted(found, key=lambda snippet: (snippet.provider, snippet.name)))


def _check_limit(plan: Plan, report: Report) -> None:
    count = len(plan.functions)
    each = ", ".join(
        f"{group.provider} {group.target.path or 'kernel'}: {len(group.functions)}" for group in plan.groups
    )
    hint = "choose a preset, or narrow the regular expressions of the largest"
    if count > FUNCTION_LIMIT:
        raise usage_error(f"{count} functions are more than the limit of {FUNCTION_LIMIT} ({each})", hint)
    if count > WARNING_SHARE * FUNCTION_LIMIT:
        report.note(
            f"warning: {count} functions are {count / FUNCTION_LIMIT:.0%} of the limit of {FUNCTION_LIMIT}; {hint}"
        )

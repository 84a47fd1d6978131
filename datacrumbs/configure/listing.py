"""What the installed providers can probe on this host, for ``--list``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from datacrumbs.plugins import resolve_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.plugins import InstalledProvider, Providers
    from datacrumbs.provider import Host, Preset, ProbeTarget


@dataclass(frozen=True, slots=True)
class ListedProvider:
    """A provider as it is on this host.

    Args:
        provider: Who it is.
        presets: Those of its presets that select something here, with the number of names; 0 for all.
        targets: What it can probe here, with the number of functions of each.
    """

    provider: InstalledProvider
    presets: tuple[tuple[Preset, int], ...]
    targets: tuple[tuple[ProbeTarget, int], ...]

    def document(self) -> dict[str, object]:
        """The same as JSON can carry it."""
        entry, described = self.provider, self.provider.described
        return {
            "name": entry.name,
            "title": described.title,
            "layer": described.layer.value,
            "position": described.layer.position,
            "distribution": entry.distribution,
            "version": entry.version,
            "options": [asdict(option) for option in described.options],
            "presets": [
                {"name": each.name, "title": each.title, "cost": each.cost.value, "functions": count}
                for each, count in self.presets
            ],
            "targets": [
                {
                    "label": each.label,
                    "attach": each.attach.value,
                    "path": each.target.path,
                    "build_id": each.target.build_id,
                    "functions": count,
                }
                for each, count in self.targets
            ],
        }


def list_providers(
    providers: Providers, host: Host, progress: Callable[[str, int, int], None]
) -> tuple[ListedProvider, ...]:
    """Ask each loaded provider for its targets and functions, with its default options.

    Args:
        providers: The loaded providers.
        host: This machine.
        progress: Told the provider's name, how many are done, of how many.

    Returns:
        The one nearest to the application first.
    """
    listed = []
    descriptions = providers.all()
    for done, provider in enumerate(descriptions):
        progress(provider.name, done, len(descriptions))
        options = resolve_options(provider.name, provider.described.options, {})
        targets = providers.targets(provider.name, host, options)
        counted = tuple((target, len(providers.functions(provider.name, target, options))) for target in targets)
        listed.append(ListedProvider(provider, _presets(provider.name, providers), counted))
    progress("", len(descriptions), len(descriptions))
    return tuple(listed)


def _presets(name: str, providers: Providers) -> tuple[tuple[Preset, int], ...]:
    selected = [(preset, providers.selected(name, preset)) for preset in providers.presets(name)]
    return tuple((preset, len(names or ())) for preset, names in selected if names is None or names)

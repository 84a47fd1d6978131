"""From entry points to a `Providers`: one bad provider stops everything, by name."""

from __future__ import annotations

import importlib.metadata
import os
from collections import defaultdict
from typing import TYPE_CHECKING

import pluggy

from datacrumbs import __version__
from datacrumbs.errors import DatacrumbsError, did_you_mean, usage_error
from datacrumbs.plugins import _tracing, hookspecs
from datacrumbs.plugins._providers import Origin, Providers
from datacrumbs.plugins._versions import update_advice
from datacrumbs.provider import ENTRY_POINT_GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from importlib.metadata import EntryPoint


def load_providers(
    without: Collection[str] = (), only: Collection[str] | None = None, named: Collection[str] = ()
) -> Providers:
    """Import the installed providers and check that they keep the contract.

    Args:
        without: Names that are not even imported, so that a broken one can be left out.
        only: The names to load; None for all that are installed.
        named: Names that ``without`` may have though they are not installed: a site file's.

    Raises:
        DatacrumbsError: (exit 2) for a name that is not installed, two providers of one name, a
            provider that cannot be imported or that breaks the contract. The message names the
            distribution.
    """
    found = _by_name(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))
    _check_names("--providers", only or (), found)
    _check_names("--without", set(without).difference(named), found)
    wanted = [name for name in sorted(found) if name not in without and (only is None or name in only)]
    return load({_origin(found[name]): found[name].load for name in wanted})


def load_module(module: object, name: str, distribution: str, version: str) -> Providers:
    """One provider as `load_providers` would load it, without an entry point; for tests.

    Args:
        module: The module with the hook implementations.
        name: What the entry point would be named.
        distribution: The distribution that errors name.
        version: Its version.

    Raises:
        DatacrumbsError: (exit 2) when it breaks the contract.
    """
    return load({Origin(name, distribution, version): lambda: module})


def load(loaders: Mapping[Origin, Callable[[], object]]) -> Providers:
    """The providers of some origins, each by what imports its module.

    Raises:
        DatacrumbsError: As `load_providers` does, but for names.
    """
    manager = pluggy.PluginManager("datacrumbs")
    manager.add_hookspecs(hookspecs)
    if os.environ.get(_tracing.VARIABLE) == "1":
        _tracing.trace_hook_calls(manager)
    for origin, imported in loaders.items():
        _register(manager, origin, imported)
    origins = {origin.name: origin for origin in loaders}
    _check_pending(manager, origins)
    providers = Providers(manager, origins)
    for name in origins:
        providers.describe(name)
    return providers


def _by_name(entry_points: Iterable[EntryPoint]) -> dict[str, EntryPoint]:
    grouped: dict[str, list[EntryPoint]] = defaultdict(list)
    for entry_point in entry_points:
        grouped[entry_point.name].append(entry_point)
    for name, same in sorted(grouped.items()):
        if len(same) > 1:
            owners = " and ".join(sorted(_distribution(entry_point) for entry_point in same))
            raise usage_error(
                f"two providers are named {name!r}: in the distributions {owners}",
                f"uninstall one of them, or go on without both: --without {name}",
            )
    return {name: same[0] for name, same in grouped.items()}


def _check_names(option: str, names: Collection[str], found: Collection[str]) -> None:
    for name in names:
        if name not in found:
            installed = ", ".join(sorted(found)) or "none"
            raise usage_error(
                f"{option}: no provider {name!r} is installed{did_you_mean(name, found)}", f"installed: {installed}"
            )


def _register(manager: pluggy.PluginManager, origin: Origin, imported: Callable[[], object]) -> None:
    hint = f"{update_advice(origin.distribution)}, or go on without it: --without {origin.name}"
    try:
        manager.register(imported(), name=origin.name)
    except (pluggy.PluginValidationError, DatacrumbsError) as error:
        raise usage_error(f"provider {origin.name!r} of {origin.distribution}: {error}", hint) from error
    except Exception as error:  # whatever foreign code raises while it is imported
        _tracing.print_traceback(error)
        raise usage_error(
            f"provider {origin.name!r} of {origin.distribution} cannot be imported: {type(error).__name__}: {error}",
            hint,
        ) from error


def _check_pending(manager: pluggy.PluginManager, origins: dict[str, Origin]) -> None:
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        name = manager.get_name(error.plugin) or ""
        distribution = origins[name].distribution if name in origins else "an unknown distribution"
        raise usage_error(
            f"provider {name!r} of {distribution} implements a hook that does not exist: {error}",
            f"a misspelt name, or a hook of a newer datacrumbs than {__version__}: correct it or update datacrumbs, "
            f"or go on without it: --without {name}",
        ) from error


def _distribution(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist is not None else entry_point.module


def _origin(entry_point: EntryPoint) -> Origin:
    version = entry_point.dist.version if entry_point.dist is not None else "0"
    return Origin(entry_point.name, _distribution(entry_point), version)

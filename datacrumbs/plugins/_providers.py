"""The typed façade over pluggy: the rest of the program sees functions, not hooks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from datacrumbs.elf.signatures import SignatureError
from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.plugins import _tracing, _validation
from datacrumbs.plugins._versions import update_advice
from datacrumbs.provider import Check, FindingRule, Function, Preset, ProbeTarget, Provider, Snippet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pluggy

    from datacrumbs.provider import Host, Options

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a provider comes from.

    Args:
        name: Its entry point's, unique; what users write after ``--providers``.
        distribution: Name of the installed distribution.
        version: Its version.
    """

    name: str
    distribution: str
    version: str


@dataclass(frozen=True, slots=True)
class InstalledProvider(Origin):
    """A provider as it is installed here: where it comes from, and what it says of itself.

    Args:
        described: What it says of itself.
    """

    described: Provider


class Providers:
    """The loaded providers, each asked on its own.

    Whatever a provider returns is checked here, once; whatever it raises becomes a
    `DatacrumbsError` that names its distribution and the hook.
    """

    def __init__(self, manager: pluggy.PluginManager, origins: Mapping[str, Origin]) -> None:
        self._manager = manager
        self._origins = dict(origins)
        self._described: dict[str, InstalledProvider] = {}
        self._snippets: dict[str, tuple[Snippet, ...]] = {}
        self._presets: dict[str, tuple[Preset, ...]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the loaded providers, sorted."""
        return tuple(sorted(self._origins))

    def __contains__(self, name: object) -> bool:
        return name in self._origins

    def describe(self, name: str) -> InstalledProvider:
        """Who provider ``name`` is."""
        if name not in self._described:
            results = self._ask(name, "datacrumbs_provider")
            if len(results) != 1:
                raise self._broken(name, "datacrumbs_provider", "is missing; every provider must implement it")
            with self._blame(name, "datacrumbs_provider"):
                origin = self._origins[name]
                _validation.check_origin(name, origin.distribution, origin.version)
                described = _validation.check_provider_description(results[0])
                self._described[name] = InstalledProvider(name, origin.distribution, origin.version, described)
        return self._described[name]

    def all(self) -> tuple[InstalledProvider, ...]:
        """The descriptions of all loaded providers, nearest to the application first."""
        return tuple(
            sorted(map(self.describe, self.names), key=lambda entry: (entry.described.layer.position, entry.name))
        )

    def targets(self, name: str, host: Host, options: Options) -> tuple[ProbeTarget, ...]:
        """What provider ``name`` can probe on ``host``, each once."""
        targets = self._items(name, "datacrumbs_targets", ProbeTarget, host=host, options=options)
        with self._blame(name, "datacrumbs_targets"):
            return _validation.check_given_targets(targets)

    def functions(self, name: str, target: ProbeTarget, options: Options) -> tuple[Function, ...]:
        """The functions of one target of provider ``name``."""
        functions = self._items(name, "datacrumbs_functions", Function, target=target, options=options)
        with self._blame(name, "datacrumbs_functions"):
            return _validation.check_functions(functions, target.attach, self.snippets(name))

    def snippets(self, name: str) -> tuple[Snippet, ...]:
        """The snippets of provider ``name``."""
        if name not in self._snippets:
            snippets = self._items(name, "datacrumbs_snippets", Snippet)
            with self._blame(name, "datacrumbs_snippets"):
                self._snippets[name] = _validation.check_given_snippets(snippets, name)
        return self._snippets[name]

    def presets(self, name: str) -> tuple[Preset, ...]:
        """The presets of provider ``name``."""
        if name not in self._presets:
            presets = self._items(name, "datacrumbs_presets", Preset)
            with self._blame(name, "datacrumbs_presets"):
                self._presets[name] = _validation.check_presets(presets)
        return self._presets[name]

    def selected(self, name: str, preset: Preset) -> frozenset[str] | None:
        """The names that a preset of provider ``name`` selects; None for all."""
        if not callable(preset.functions):
            return preset.functions or None
        with self._blame(name, "datacrumbs_presets"):
            return _validation.check_preset_names(preset.functions(), preset.name)

    def checks(self, name: str, host: Host) -> tuple[Check, ...]:
        """What provider ``name`` finds missing on ``host``."""
        return self._items(name, "datacrumbs_checks", Check, host=host)

    def findings(self, name: str) -> tuple[FindingRule, ...]:
        """What provider ``name`` takes for a fault."""
        return self._items(name, "datacrumbs_findings", FindingRule)

    def _items(self, name: str, hook: str, kind: type[_Item], **arguments: Any) -> tuple[_Item, ...]:
        items: list[_Item] = []
        for result in self._ask(name, hook, **arguments):
            if not isinstance(result, Iterable) or isinstance(result, (str, bytes)):
                raise self._broken(name, hook, f"returned {type(result).__name__}; expected {kind.__name__} items")
            for item in result:
                if not isinstance(item, kind):
                    raise self._broken(name, hook, f"returned a {type(item).__name__} item; expected {kind.__name__}")
                items.append(item)
        return tuple(items)

    # One provider at a time, so that a failure has one culprit. The results are lists already,
    # because a generator would raise later, outside of the blame.
    def _ask(self, name: str, hook: str, **arguments: Any) -> list[Any]:
        plugin = self._manager.get_plugin(name)
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        with self._blame(name, hook):
            results = self._manager.subset_hook_caller(hook, others)(**arguments)
            return [_realized(result) for result in results]

    # Turns what foreign code raises, and what the contract checks find, into one kind of error.
    @contextmanager
    def _blame(self, name: str, hook: str) -> Iterator[None]:
        try:
            yield
        except _validation.ContractError as error:
            raise self._broken(name, hook, f"broke the contract: {error}") from error
        except SignatureError as error:
            raise self._broken(name, hook, f"has a wrong table: {error}") from error
        except Exception as error:
            if isinstance(error, DatacrumbsError):
                raise
            _tracing.print_traceback(error)
            raise self._broken(name, hook, f"failed: {type(error).__name__}: {error}") from error

    def _broken(self, name: str, hook: str, problem: str) -> DatacrumbsError:
        distribution = self._origins[name].distribution
        return usage_error(
            f"provider {name!r} of {distribution}: {hook} {problem}",
            f"{update_advice(distribution)}, or go on without it: --without {name}",
        )


def _realized(result: Any) -> Any:
    if isinstance(result, Iterable) and not isinstance(result, (str, bytes, tuple, list)):
        return tuple(result)
    return result

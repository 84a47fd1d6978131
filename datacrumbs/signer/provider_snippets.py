"""The snippet files of installed provider distributions, read without importing the provider.

What runs as root must not run a provider's code. So a distribution is asked for its file list
(RECORD); an editable installation has none of its sources there, and then the package that its entry
point names is looked up, which does not import it either.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from datacrumbs.errors import usage_error
from datacrumbs.probefile.codec import snippet_digest
from datacrumbs.secure.files import read_bounded
from datacrumbs.signer.snippets import TrustedSnippet

ENTRY_POINT_GROUP = "datacrumbs.providers"
SNIPPET_SUFFIX = ".bpf.c"
SNIPPET_LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True)
class InstalledSnippet:
    """A snippet file as it is installed now.

    Args:
        entry: What the trust list would say of it.
        path: The file.
        owner: User id of the file's owner; others than root could change it before it is trusted.
    """

    entry: TrustedSnippet
    path: Path
    owner: int


def provider_distributions() -> dict[str, Distribution]:
    """Installed distributions that have a provider, by the provider's name."""
    found: dict[str, Distribution] = {}
    for distribution in distributions():
        for entry_point in distribution.entry_points.select(group=ENTRY_POINT_GROUP):
            found.setdefault(entry_point.name, distribution)
    return found


def installed_snippets(provider: str) -> tuple[InstalledSnippet, ...]:
    """The snippet files of one provider, sorted by name.

    Raises:
        DatacrumbsError: (exit 2) when no installed distribution has that provider.
    """
    distribution = provider_distributions().get(provider)
    if distribution is None:
        known = ", ".join(sorted(provider_distributions())) or "none"
        raise usage_error(f"{provider}: no installed distribution has this provider; installed: {known}")
    return tuple(_snippet(provider, distribution, path) for path in _snippet_files(provider, distribution))


def _snippet(provider: str, distribution: Distribution, path: Path) -> InstalledSnippet:
    text = read_bounded(path, SNIPPET_LIMIT).decode("utf-8", errors="strict")
    entry = TrustedSnippet(
        provider, distribution.metadata["Name"], distribution.version, path.name, snippet_digest(text)
    )
    return InstalledSnippet(entry, path, path.stat().st_uid)


def _snippet_files(provider: str, distribution: Distribution) -> list[Path]:
    listed = [
        Path(str(distribution.locate_file(file))).resolve()
        for file in distribution.files or ()
        if file.name.endswith(SNIPPET_SUFFIX) and file.parent.name == "snippets"
    ]
    if listed:
        return sorted(listed)
    return sorted(
        path.resolve()
        for root in package_directories(provider, distribution)
        for path in root.glob(f"snippets/*{SNIPPET_SUFFIX}")
    )


def package_directories(provider: str, distribution: Distribution) -> list[Path]:
    """Where the code of a provider is, found without running it: `find_spec` of a name without dots runs finders."""
    (entry_point, *_) = distribution.entry_points.select(group=ENTRY_POINT_GROUP, name=provider)
    package = entry_point.module.partition(".")[0]
    PathFinder.invalidate_caches()
    spec = find_spec(package)
    return [Path(location) for location in (spec.submodule_search_locations or ())] if spec else []

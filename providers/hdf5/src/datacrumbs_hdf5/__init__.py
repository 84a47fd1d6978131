"""The `hdf5` provider: every public function of the HDF5 libraries, with the files they work on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.elf.functions import elf_target
from datacrumbs.provider import (
    Attach,
    Check,
    CheckState,
    Cost,
    FindingRule,
    Layer,
    Option,
    Preset,
    ProbeTarget,
    Provider,
    hookimpl,
)
from datacrumbs_hdf5.faults import RULES
from datacrumbs_hdf5.functions import library_functions
from datacrumbs_hdf5.libraries import NAMES, describe, hdf5_libraries
from datacrumbs_hdf5.signatures import DATA, FILES, METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.provider import Function, Host, Options

__version__ = "0.1.0"


@hookimpl
def datacrumbs_provider() -> Provider:
    """Say who the provider is."""
    return Provider(
        title="HDF5 files, datasets, groups and attributes",
        layer=Layer.DATA_FORMAT,
        options=(
            Option("libraries", "list", (), "Paths of HDF5 libraries to probe instead of those that are found."),
            Option("high_level", "boolean", default=True, help="Also probe the high-level library (H5LT, H5TB ...)."),
        ),
        libraries=NAMES,
    )


@hookimpl
def datacrumbs_targets(host: Host, options: Options) -> Iterator[ProbeTarget]:
    """List the HDF5 libraries of this host: serial ones, those over an MPI, those of Python packages."""
    for path in hdf5_libraries(host, options):
        library = describe(path)
        if not library.high_level or options.get("high_level", True):
            yield ProbeTarget(elf_target(path), Attach.UPROBE, library.label)


@hookimpl
def datacrumbs_functions(target: ProbeTarget, options: Options) -> tuple[Function, ...]:  # noqa: ARG001 (the hook's form)
    """List the public functions of one library."""
    return library_functions(Path(target.target.path))


@hookimpl
def datacrumbs_presets() -> tuple[Preset, ...]:
    """Name selections of functions."""
    return (
        Preset("data", "reading and writing datasets and attributes", Cost.LOW, DATA),
        Preset("metadata", "files, groups, links, objects: all but the data", Cost.LOW, METADATA),
        Preset("files", "whole files", Cost.LOW, FILES),
        Preset("io", "data and metadata", Cost.LOW, DATA | METADATA),
        Preset("all", "every public function, also of types, dataspaces and property lists", Cost.MEDIUM),
    )


@hookimpl
def datacrumbs_checks(host: Host) -> Iterator[Check]:
    """Say which HDF5 libraries there are."""
    paths = hdf5_libraries(host, {})
    if not paths:
        fix = "install libhdf5 or a package that bundles it, or set `libraries` in the site file"
        yield Check("HDF5 library", CheckState.WARNING, "none found", fix)
    for path in paths:
        yield Check(describe(path).label, CheckState.OK, str(path))


@hookimpl
def datacrumbs_findings() -> tuple[FindingRule, ...]:
    """Say what is a fault in the use of HDF5."""
    return RULES

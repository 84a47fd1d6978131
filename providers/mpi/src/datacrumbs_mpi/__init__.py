"""The `mpi` provider: every MPI function of Open MPI and MPICH, MPI-IO with its files and bytes."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.elf.functions import elf_target
from datacrumbs.provider import (
    Argument,
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
    Role,
    Snippet,
    hookimpl,
)
from datacrumbs_mpi.faults import RULES
from datacrumbs_mpi.functions import fortran_functions, library_functions
from datacrumbs_mpi.implementation import identify
from datacrumbs_mpi.libraries import NAMES, mpi_libraries
from datacrumbs_mpi.signatures import DATA, METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.provider import Function, Host, Options

__version__ = "0.1.0"

_BYTES = (Argument(0, "bytes", "long", Role.BYTES, 8, signed=True),)
_FIELDS = {"close_handle": (Argument(0, "fh", "MPI_File", Role.VALUE, 8, signed=False),)}


@hookimpl
def datacrumbs_provider() -> Provider:
    """Say who the provider is."""
    return Provider(
        title="MPI and MPI-IO of Open MPI and MPICH",
        layer=Layer.MESSAGE_PASSING,
        options=(
            Option("libraries", "list", (), "Paths of MPI libraries to probe instead of those that are found."),
            Option(
                "trivial", "boolean", default=False, help="Also probe MPI_Wtime and others that only return a value."
            ),
            Option("fortran", "boolean", default=False, help="Also probe the Fortran bindings, which call the C ones."),
        ),
        libraries=NAMES,
    )


@hookimpl
def datacrumbs_targets(host: Host, options: Options) -> Iterator[ProbeTarget]:
    """List the MPI libraries of this host, each implementation and version by itself."""
    for path in mpi_libraries(host, options):
        yield ProbeTarget(elf_target(path), Attach.UPROBE, identify(path).label)


@hookimpl
def datacrumbs_functions(target: ProbeTarget, options: Options) -> tuple[Function, ...]:
    """List the MPI functions of one library."""
    path = Path(target.target.path)
    implementation = identify(path)
    if implementation.name == "Fortran bindings":
        return fortran_functions(path)
    return library_functions(path, implementation, trivial=bool(options.get("trivial", False)))


@hookimpl
def datacrumbs_snippets() -> Iterator[Snippet]:
    """Give the snippets that find the bytes and the handle that is closed."""
    folder = files("datacrumbs_mpi") / "snippets"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name, suffix, _ = file.name.partition(".bpf.c")
        if suffix:
            yield Snippet(name=name, text=file.read_text(encoding="utf-8"), fields=_FIELDS.get(name, _BYTES))


@hookimpl
def datacrumbs_presets() -> tuple[Preset, ...]:
    """Name selections of functions."""
    return (
        Preset("data", "transfers of file data", Cost.LOW, DATA),
        Preset("metadata", "opening, closing, views, sizes and positions of files", Cost.LOW, METADATA),
        Preset("io", "all of MPI-IO", Cost.LOW, DATA | METADATA),
        Preset("all", "every MPI function", Cost.MEDIUM),
    )


@hookimpl
def datacrumbs_checks(host: Host) -> Iterator[Check]:
    """Say which MPI libraries there are and what is not known about them."""
    paths = mpi_libraries(host, {})
    if not paths:
        fix = "install openmpi-bin or mpich, or set `libraries` in the site file"
        yield Check("MPI library", CheckState.WARNING, "none found", fix)
    for path in paths:
        implementation = identify(path)
        check = Check(implementation.label, CheckState.OK, str(path))
        if implementation.problem:
            detail = f"{path}: {implementation.problem}"
            check = replace(check, state=CheckState.WARNING, detail=detail, fix="trace its transfers without bytes")
        yield check


@hookimpl
def datacrumbs_findings() -> tuple[FindingRule, ...]:
    """Say what is a fault in the use of MPI-IO."""
    return RULES

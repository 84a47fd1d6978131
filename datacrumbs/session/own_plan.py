"""The plan for one command, composed as the configurator does, in the user's own process."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from datacrumbs.configure import Selection, compose, default_site_file, find_site_file, read_site_file
from datacrumbs.configure.compose import Report
from datacrumbs.configure.host import current_host
from datacrumbs.configure.site import Detail, ProviderEntry
from datacrumbs.elf import kept
from datacrumbs.model.plan import Mode
from datacrumbs.plugins import load_providers
from datacrumbs.probefile.codec import encode
from datacrumbs.session.programs import CommandError, executable, program_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from datacrumbs.configure import SiteConfiguration
    from datacrumbs.system import SystemPaths

DEFAULT_SITE = "default.yaml"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks to be probed.

    Args:
        site: A site file; empty for the default one.
        selection: What is left of it.
        sample: One of how many calls gets a line; 0 for what the site file says.
    """

    site: str = ""
    selection: Selection = field(default_factory=Selection)
    sample: int = 0


@dataclass(frozen=True, slots=True)
class OwnPlan:
    """What came of it.

    Args:
        document: Canonical text of the plan; empty where the command cannot be run.
        notes: What the user may want to know, a line each.
        functions: How many of each provider.
        program: The program whose libraries were looked at; empty for the host's.
        status: The exit status where the command cannot be run, else 0.
        problem: Why not.
    """

    document: str = ""
    notes: tuple[str, ...] = ()
    functions: tuple[tuple[str, int], ...] = ()
    program: str = ""
    status: int = 0
    problem: str = ""


def compose_plan(command: Sequence[str], wanted: Wanted, paths: SystemPaths) -> dict[str, Any]:
    """An `OwnPlan` as JSON carries it, for a command of this process's user in this process's environment.

    Raises:
        DatacrumbsError: As `compose` does.
    """
    try:
        executable(command[0], os.environ)
        program = program_of(command, os.environ)
    except CommandError as error:
        return asdict(OwnPlan(status=error.status, problem=error.message))
    notes: list[str] = []
    site = _site(wanted, paths)
    notes += site.notes
    kept.keep_in(_kept(paths))
    named = {entry.provider for entry in site.entries if isinstance(entry, ProviderEntry)}
    providers = load_providers(wanted.selection.unloaded, wanted.selection.providers, named)
    host = replace(current_host(), program=program, others=True)
    plan = compose(site, providers, host, wanted.selection, Report(notes.append))
    counts = Counter(group.provider for group in plan.groups for _ in group.functions)
    return asdict(
        OwnPlan(
            encode(plan).decode(),
            tuple(notes),
            tuple((entry.name, counts[entry.name]) for entry in plan.providers),
            str(program or ""),
        )
    )


def _site(wanted: Wanted, paths: SystemPaths) -> SiteConfiguration:
    file = find_site_file(wanted.site, paths) if wanted.site else paths.site_files / DEFAULT_SITE
    if not wanted.site and not file.is_file():
        file = default_site_file()  # of a host that was not set up
    site = read_site_file(file, protected=file.parent.absolute() == paths.site_files.absolute())
    if not wanted.sample:
        return site
    detail = Detail(Mode.TRACE, wanted.sample)
    return replace(site, detail=detail, entries=tuple(replace(entry, detail=detail) for entry in site.entries))


# Root takes nothing that a user could have written, wherever HOME and XDG_CACHE_HOME point.
def _kept(paths: SystemPaths) -> Path | None:
    if os.geteuid() != 0:
        return kept.users_directory(os.environ)
    return paths.kept if paths.state.is_dir() else None

"""The plan for one command, where it is not remembered: composed as the configurator does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from datacrumbs.configure import Selection, compose, default_site_file, find_site_file, load_selected, read_site_file
from datacrumbs.configure.compose import Report
from datacrumbs.configure.host import current_host
from datacrumbs.configure.site import Detail
from datacrumbs.model.plan import Mode, with_mode
from datacrumbs.probefile.codec import encode

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.configure import SiteConfiguration
    from datacrumbs.session.composition_request import CompositionRequest
    from datacrumbs.system import SystemPaths

DEFAULT_SITE = "default.yaml"


def composed(program: Path | None, request: CompositionRequest, paths: SystemPaths) -> dict[str, Any]:
    """The plan for a program whose libraries are looked at; None for the host's alone.

    Returns:
        As JSON carries it, its canonical text as ``document``, and as ``notes`` what the user should know.

    Raises:
        DatacrumbsError: As `compose` does.
    """
    site = _site(request, paths)
    selection = Selection(request.only, request.without, request.preset)
    host = replace(current_host(), program=program, others=True)
    notes = list(site.notes)
    plan = compose(site, load_selected(site, selection), host, selection, Report(notes.append))
    if request.mode:
        plan = with_mode(plan, Mode(request.mode))
    return {"document": encode(plan).decode(), "notes": notes}


def _site(request: CompositionRequest, paths: SystemPaths) -> SiteConfiguration:
    file = find_site_file(request.site, paths) if request.site else paths.site_files / DEFAULT_SITE
    if not request.site and not file.is_file():
        file = default_site_file()  # of a host that was not set up
    site = read_site_file(file, protected=file.parent.absolute() == paths.site_files.absolute())
    if not request.sample:
        return site
    detail = Detail(Mode.TRACE, request.sample)
    return replace(site, detail=detail, entries=tuple(replace(entry, detail=detail) for entry in site.entries))

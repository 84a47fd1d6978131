"""The plan for one command, remembered or composed, in the user's own process."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs import composition_cache
from datacrumbs.elf import analysis_cache
from datacrumbs.elf.inspected_files import watched
from datacrumbs.errors import DatacrumbsError
from datacrumbs.session.composition_request import OwnPlan
from datacrumbs.session.programs import CommandError, executable, program_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datacrumbs.session.composition_request import CompositionRequest
    from datacrumbs.system import SystemPaths

_KIND = "plan"


def compose_plan(command: Sequence[str], request: CompositionRequest, paths: SystemPaths) -> dict[str, Any]:
    """An `OwnPlan` as JSON carries it, for a command of this process's user in this process's environment.

    Raises:
        DatacrumbsError: As `compose` does.
    """
    try:
        executable(command[0], os.environ)
        program = program_of(command, os.environ)
    except CommandError as error:
        return asdict(OwnPlan(status=error.status, problem=error.message))
    return _plan_for(program, request, paths)


def compose_plan_of_process(process: int, request: CompositionRequest, paths: SystemPaths) -> dict[str, Any]:
    """An `OwnPlan` as JSON carries it, for a process of this process's user, in that one's environment.

    Raises:
        DatacrumbsError: As `compose` does; and the process is not open to this one.
    """
    try:
        file = str(Path(f"/proc/{process}/exe").readlink())
        given = os.fsdecode(Path(f"/proc/{process}/environ").read_bytes()).split("\0")
    except OSError as error:
        raise DatacrumbsError(f"process {process} cannot be looked at: {error.strerror}") from None
    os.environ.clear()
    entries = (entry.partition("=") for entry in given)
    os.environ.update({name: value for name, is_given, value in entries if name and is_given})
    try:
        program = program_of([file], os.environ)
    except CommandError:  # its file is gone, or somewhere else in this one's mount namespace
        program = None
    return _plan_for(program, request, paths)


def _plan_for(program: Path | None, request: CompositionRequest, paths: SystemPaths) -> dict[str, Any]:
    analysis_cache.keep_in(analysis_cache.own_directory(paths, os.environ))
    asked = [str(paths.prefix.absolute()), os.getcwd(), str(program or ""), asdict(request)]  # noqa: PTH109
    found: dict[str, Any] | None = composition_cache.recall(_KIND, asked, os.environ)
    if found is None:
        with watched(analysis_cache.place()) as looking:
            from datacrumbs.session.own_composition import composed  # noqa: PLC0415 - what is remembered needs none of it

            found = composed(program, request, paths)
        composition_cache.remember(_KIND, asked, os.environ, looking, found)
    return found

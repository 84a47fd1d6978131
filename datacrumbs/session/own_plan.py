"""The plan for one command, remembered or composed, in the user's own process."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs.cache import analysis_cache, composition_cache
from datacrumbs.cache.inspected_files import watched
from datacrumbs.errors import DatacrumbsError
from datacrumbs.session.invoker import environment_of
from datacrumbs.session.programs import CommandError, program_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datacrumbs.session.composition_request import CompositionRequest
    from datacrumbs.system import SystemPaths

_KIND = "plan"


def compose_plan(command: Sequence[str], request: CompositionRequest, paths: SystemPaths) -> dict[str, Any]:
    """What `own_composition.composed` gives for a command of this process's user in this process's environment.

    Raises:
        CommandError: There is no such command.
        DatacrumbsError: As `compose` does.
    """
    return _plan_for(program_of(command, os.environ), request, paths)


def compose_plan_of_process(process: int, request: CompositionRequest, paths: SystemPaths) -> dict[str, Any]:
    """The same for a process of this process's user, in that one's environment.

    Raises:
        DatacrumbsError: As `compose` does; and the process is not open to this one.
    """
    try:
        file = str(Path(f"/proc/{process}/exe").readlink())
        environment = environment_of(process)
    except FileNotFoundError:
        reason = "it has ended, or is a thread of the kernel"
        raise DatacrumbsError(f"process {process} runs no program: {reason}") from None
    except OSError as error:
        raise DatacrumbsError(f"process {process} cannot be looked at: {error.strerror}") from None
    os.environ.clear()
    os.environ.update(environment)
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

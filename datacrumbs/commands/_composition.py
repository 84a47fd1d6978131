"""A composition that is not remembered: composed on this host, and signed."""

from __future__ import annotations

import base64
import gc
from collections import Counter
from typing import TYPE_CHECKING

from datacrumbs.commands._progress import progress_bar
from datacrumbs.configure import Selection, compose, find_site_file, load_selected, read_site_file
from datacrumbs.configure.compose import Report
from datacrumbs.configure.known_failures import without_failures
from datacrumbs.signer.signing_client import request_signature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacrumbs.provider import Host
    from datacrumbs.system import SystemPaths
    from datacrumbs.trace.unattached import Failure, Unattached


def composed(  # noqa: PLR0917 - what a composition takes
    site: str,
    host: Host,
    selection: Selection,
    paths: SystemPaths,
    notes: list[str],
    failures: Mapping[Unattached, Failure],
) -> dict[str, object]:
    """Compose a site file's plan and have it signed.

    Args:
        site: The site file, as users name it.
        host: The machine, and the program whose libraries are probed.
        selection: What is left of the site file.
        paths: The installation.
        notes: What the user should know is added to these; first, as not all may be shown, what failed before.
        failures: What is known to fail where it is to run.

    Returns:
        What `commands._composing.Composed` has, as JSON carries it.
    """
    gc.disable()  # the process ends soon, and what it makes until then stays
    file = find_site_file(site, paths)
    read = read_site_file(file, protected=file.parent.absolute() == paths.site_files.absolute())
    notes += read.notes
    providers = load_selected(read, selection)
    with progress_bar("composing") as progress:
        plan = compose(read, providers, host, selection, Report(notes.append, progress))
    left_out: list[str] = []
    try:
        plan = without_failures(plan, failures, left_out.append)
    finally:
        notes[:0] = left_out
    counts = Counter(group.provider for group in plan.groups for _ in group.functions)
    return {
        "counts": [[entry.name, counts[entry.name]] for entry in plan.providers],
        "probe_file": base64.b64encode(request_signature(plan, paths)).decode(),
    }

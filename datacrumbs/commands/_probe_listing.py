"""What ``datacrumbs_probe_configurator`` prints of a probe file (``--show``) and of this host (``--list``)."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from rich.table import Table

from datacrumbs.commands._console import table_console
from datacrumbs.commands._progress import progress_bar
from datacrumbs.configure import current_host
from datacrumbs.configure.listing import ListedProvider, list_providers
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.output import printable, printable_lines, warn
from datacrumbs.plugins import load_providers
from datacrumbs.probefile.show import describe, readable
from datacrumbs.probefile.storage import read_probe_file, read_unverified

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from datacrumbs.configure import Selection
    from datacrumbs.system import SystemPaths


def show(file: Path, paths: SystemPaths, *, as_json: bool) -> None:
    """Print a probe file, believed here or not."""
    try:
        signed = read_probe_file(file, paths.trusted_keys, now=time.time(), uid=None)
    except DatacrumbsError as error:
        if error.exit_code != ExitCode.REFUSED:
            raise
        signed = read_unverified(file)
        warn(f"warning: the daemon would refuse this file: {error.message}")
    print(json.dumps(describe(signed), indent=2, sort_keys=True) if as_json else readable(signed), end="")
    if as_json:
        print()


def list_host(selection: Selection, options: argparse.Namespace) -> None:
    """Print what can be probed on this host."""
    providers = load_providers(selection.unloaded, selection.providers)
    with progress_bar("asking") as progress:
        listed = list_providers(providers, current_host(options.program or "", options.root or ""), progress)
    if options.json:
        print(json.dumps([each.document() for each in listed], indent=2))
    else:
        _print_list(listed)


def _print_list(listed: Sequence[ListedProvider]) -> None:
    table = Table(title="Providers on this host", title_justify="left")
    for heading in ("provider", "version", "layer", "target", "probe"):
        table.add_column(heading, overflow="fold")
    table.add_column("functions", justify="right", no_wrap=True, min_width=len("functions"))
    for each in listed:
        entry = each.provider
        rows = [
            (printable_lines(f"{target.label}\n{target.target.path}".strip()), target.attach.value, str(count))
            for target, count in each.targets
        ] or [("nothing to probe here", "", "0")]
        for position, row in enumerate(rows):
            who = (entry.name, entry.version, entry.described.layer) if position == 0 else ("", "", "")
            table.add_row(*map(printable, who), *row, end_section=position == len(rows) - 1)
    presets = Table(title="Presets", title_justify="left")
    for heading in ("provider", "preset", "cost", "what it selects"):
        presets.add_column(heading, overflow="fold")
    for each in listed:
        for position, (preset, _) in enumerate(each.presets):
            presets.add_row(
                "" if position else each.provider.name, preset.name, preset.cost.value, printable(preset.title)
            )
    console = table_console()
    console.print(table)
    if presets.row_count:
        console.print(presets)

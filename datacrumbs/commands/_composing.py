"""What ``datacrumbs_probe_configurator`` does: it composes, shows and lists."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from datacrumbs.commands._console import table_console
from datacrumbs.commands._selection import names
from datacrumbs.configure import Selection, compose, current_host, find_site_file, read_site_file
from datacrumbs.configure.compose import Report
from datacrumbs.configure.listing import ListedProvider, list_providers
from datacrumbs.configure.site import ProviderEntry
from datacrumbs.elf import kept
from datacrumbs.errors import DatacrumbsError, ExitCode, usage_error
from datacrumbs.output import Verbosity, counted, inform, printable, printable_lines, terminal, verbosity, warn
from datacrumbs.plugins import load_providers
from datacrumbs.probefile.show import describe, readable
from datacrumbs.probefile.storage import instant, read_probe_file, read_unverified, unverified_grant, write_probe_file
from datacrumbs.signer.signing_client import request_signature
from datacrumbs.system import SystemPaths

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

_SHOWN_NOTES = 20


def configure(options: argparse.Namespace) -> None:
    """Do what the options ask for.

    Raises:
        DatacrumbsError: With the exit code of what went wrong.
    """
    paths = SystemPaths(options.prefix)
    if options.show:
        _show(Path(options.show), paths, as_json=options.json)
        return
    selection = Selection(names(options.providers), names(options.without), options.preset, not options.no_move)
    kept.keep_in(_kept(paths))
    if options.list:
        _list(selection, options)
        return
    if not options.site or not options.output:
        raise usage_error("SITE.yaml and OUT.json.gz are needed", "see datacrumbs_probe_configurator --help")
    _configure(selection, options, paths)


# Root takes nothing that a user could have written, wherever HOME and XDG_CACHE_HOME point under sudo.
def _kept(paths: SystemPaths) -> Path | None:
    if os.geteuid() != 0:
        return kept.users_directory(os.environ)
    return paths.kept if paths.state.is_dir() else None


def _configure(selection: Selection, options: argparse.Namespace, paths: SystemPaths) -> None:
    output = Path(options.output)
    if not output.parent.is_dir():
        raise usage_error(f"{output}: the directory {output.parent} does not exist", f"mkdir -p {output.parent}")
    file = find_site_file(options.site, paths)
    site = read_site_file(file, protected=file.parent.absolute() == paths.site_files.absolute())
    notes = list(site.notes)
    host = current_host(options.program)
    named = {entry.provider for entry in site.entries if isinstance(entry, ProviderEntry)}
    providers = load_providers(selection.unloaded, selection.providers, named)
    try:
        with _progress("composing") as progress:
            plan = compose(site, providers, host, selection, Report(notes.append, progress))
    finally:
        _print_notes(notes)  # they also say why nothing was left
    write_probe_file(output, request_signature(plan, paths))
    grant = unverified_grant(output)
    counts = Counter(group.provider for group in plan.groups for _ in group.functions)
    if options.json:
        summary = {"file": str(output), "functions": counts, "notes": notes, "expires": grant.expires}
        print(json.dumps(summary, indent=2, sort_keys=True))
    else:
        each = ", ".join(f"{entry.name} {counts[entry.name]}" for entry in plan.providers)
        functions = counted(len(plan.functions), "function")
        print(f"{output}: {functions}: {each}; for {grant.user} until {instant(grant.expires)}")


def _print_notes(notes: Sequence[str]) -> None:
    shown = len(notes) if verbosity() == Verbosity.VERBOSE else _SHOWN_NOTES
    for note in notes[:shown]:
        inform(note)
    if len(notes) > shown:
        inform(f"and {counted(len(notes) - shown, 'more note')}; --verbose and --json show all")


def _show(file: Path, paths: SystemPaths, *, as_json: bool) -> None:
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


def _list(selection: Selection, options: argparse.Namespace) -> None:
    providers = load_providers(selection.unloaded, selection.providers)
    with _progress("asking") as progress:
        listed = list_providers(providers, current_host(options.program), progress)
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
            who = (entry.name, entry.version, entry.layer) if position == 0 else ("", "", "")
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


# A bar on a terminal only, and on stderr: stdout may be a file that someone reads.
@contextmanager
def _progress(verb: str) -> Iterator[Callable[[str, int, int], None]]:
    console = Console(file=terminal(sys.stderr), markup=False)
    if not sys.stderr.isatty() or console.is_dumb_terminal:
        yield lambda _label, _done, _total: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(verb, total=None)

        def progress(label: str, done: int, total: int) -> None:
            bars.update(task, description=printable(f"{verb} {label}".strip()), completed=done, total=total)

        yield progress

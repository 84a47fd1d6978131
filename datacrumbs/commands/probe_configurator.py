"""``datacrumbs_probe_configurator``: site file and providers in, signed probe file out."""

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
from datacrumbs.commands._run import command_parser, run_command
from datacrumbs.configure import Selection, compose, current_host, find_site_file, read_site_file
from datacrumbs.configure.compose import REFERENCE_WORDS, Report
from datacrumbs.configure.listing import ListedProvider, list_providers
from datacrumbs.configure.site import ProviderEntry
from datacrumbs.elf import kept
from datacrumbs.errors import DatacrumbsError, ExitCode, usage_error
from datacrumbs.output import printable, printable_lines, terminal
from datacrumbs.plugins import load_providers
from datacrumbs.probefile.show import describe, readable
from datacrumbs.probefile.storage import instant, read_probe_file, read_unverified, unverified_grant, write_probe_file
from datacrumbs.signer.signing_client import request_signature
from datacrumbs.system import SystemPaths

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

_PROGRAM = "datacrumbs_probe_configurator"
_SHOWN_NOTES = 20


def main() -> None:
    """Console entry."""
    sys.exit(run_command(lambda: run(sys.argv[1:])))


def run(arguments: Sequence[str]) -> int:
    """Run the command.

    Raises:
        DatacrumbsError: With the exit code of what went wrong.
    """
    options = parser().parse_args(arguments)
    paths = SystemPaths(Path(options.prefix))
    if options.show:
        return _show(Path(options.show), paths, as_json=options.json)
    selection = Selection(_names(options.providers), _names(options.without), options.preset, not options.no_move)
    kept.keep_in(_kept(paths))
    if options.list:
        return _list(selection, options)
    if not options.site or not options.output:
        raise usage_error("SITE.yaml and OUT.json.gz are needed", f"{_PROGRAM} --help shows an example")
    return _configure(selection, options, paths)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command_parser(
        _PROGRAM,
        "Compose a probe file for this host from a site file and have it signed by the signing service.\n"
        "Any user may run it.",
        f"{_PROGRAM} default.yaml /tmp/probes.json.gz --without mpi",
    )
    made.add_argument("site", nargs="?", metavar="SITE.yaml", help="a path, or a name in /etc/datacrumbs/configs")
    made.add_argument("output", nargs="?", metavar="OUT.json.gz", help="where the signed probe file goes")
    words = ", ".join(REFERENCE_WORDS)
    made.add_argument(
        "--providers",
        metavar="A,B",
        action="append",
        default=[],
        help=f"take these only; {words} stand for entries with the key `probe`",
    )
    made.add_argument(
        "--without", metavar="NAME", action="append", default=[], help="exclude this provider; repeatable"
    )
    made.add_argument("--preset", metavar="P", default="", help="in place of the presets that the site file names")
    made.add_argument("--program", metavar="EXE", default="", help="probe only the libraries that EXE loads")
    made.add_argument(
        "--no-move", action="store_true", help="leave each library probe on its function's first instruction"
    )
    made.add_argument("--show", metavar="FILE", help="print a probe file and exit")
    made.add_argument("--list", action="store_true", help="print what can be probed on this host and exit")
    made.add_argument("--json", action="store_true", help="print JSON")
    made.add_argument("--prefix", metavar="DIR", default="/", help="root of the installation (default: /)")
    return made


# Root takes nothing that a user could have written, wherever HOME and XDG_CACHE_HOME point under sudo.
def _kept(paths: SystemPaths) -> Path | None:
    if os.geteuid() != 0:
        return kept.users_directory(os.environ)
    return paths.kept if paths.state.is_dir() else None


def _names(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for value in values for name in value.replace(",", " ").split())


def _configure(selection: Selection, options: argparse.Namespace, paths: SystemPaths) -> int:
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
        print(f"{output}: {len(plan.functions)} functions: {each}; for {grant.user} until {instant(grant.expires)}")
    return ExitCode.DONE


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes[:_SHOWN_NOTES]:
        print(f"{_PROGRAM}: {note}", file=sys.stderr)
    if len(notes) > _SHOWN_NOTES:
        print(f"{_PROGRAM}: and {len(notes) - _SHOWN_NOTES} more notes; --json has them all", file=sys.stderr)


def _show(file: Path, paths: SystemPaths, *, as_json: bool) -> int:
    try:
        signed = read_probe_file(file, paths.trusted_keys, now=time.time(), uid=None)
    except DatacrumbsError as error:
        if error.exit_code != ExitCode.REFUSED:
            raise
        signed = read_unverified(file)
        print(f"{_PROGRAM}: warning: the daemon would refuse this file: {error.message}", file=sys.stderr)
    print(json.dumps(describe(signed), indent=2, sort_keys=True) if as_json else readable(signed), end="")
    if as_json:
        print()
    return ExitCode.DONE


def _list(selection: Selection, options: argparse.Namespace) -> int:
    providers = load_providers(selection.unloaded, selection.providers)
    with _progress("asking") as progress:
        listed = list_providers(providers, current_host(options.program), progress)
    if options.json:
        print(json.dumps([each.document() for each in listed], indent=2))
    else:
        _print_list(listed)
    return ExitCode.DONE


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
        for position, preset in enumerate(each.presets):
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

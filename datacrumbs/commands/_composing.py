"""What ``datacrumbs_probe_configurator`` does: it gives what is remembered, or composes, shows and lists.

What is imported here is all that a composition takes which is remembered.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs.cache import analysis_cache, composition_cache
from datacrumbs.cache.inspected_files import looked_at, watched
from datacrumbs.commands._selection import names
from datacrumbs.elf.roots import root_of
from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.output import Verbosity, counted, inform, verbosity
from datacrumbs.probefile.envelope import Grant, open_envelope, read_grant
from datacrumbs.probefile.storage import instant, write_probe_file
from datacrumbs.signer.signature_cache import deciding_files, is_lasting
from datacrumbs.system import SystemPaths, read_system_configuration

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from datacrumbs.trace.unattached import Failure, Unattached

_SHOWN_NOTES = 20
_KIND = "signed"


@dataclass(frozen=True, slots=True)
class Composed:
    """A signed composition.

    Args:
        probe_file: The file's bytes.
        counts: Provider and number of its functions, nearest to the application first.
        notes: What the user should know.
        grant: For whom and until when it is.
        is_remembered: Whether it was composed before.
    """

    probe_file: bytes
    counts: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]
    grant: Grant
    is_remembered: bool


def configure(options: argparse.Namespace) -> int | None:
    """Do what the options ask for.

    Raises:
        DatacrumbsError: With the exit code of what went wrong.
    """
    paths = SystemPaths(options.prefix)
    analysis_cache.keep_in(analysis_cache.own_directory(paths, os.environ))
    if options.check is not None:
        from datacrumbs.commands._probe_check import check_file

        return check_file(_probe_file(options.check, options), paths, as_json=options.json)
    if options.show is not None:
        from datacrumbs.commands._probe_listing import show

        show(_probe_file(options.show, options), paths, as_json=options.json)
    elif options.list:
        from datacrumbs.commands._probe_listing import list_host
        from datacrumbs.configure import Selection

        list_host(Selection(*_selected(options)), options)
    elif not options.site or not options.output:
        raise usage_error("SITE.yaml and OUT.json.gz are needed", "see datacrumbs_probe_configurator --help")
    else:
        _configure(options, paths)
    return None


# Other options may come in between: datacrumbs probes show --json FILE.
def _probe_file(given: str, options: argparse.Namespace) -> Path:
    if not (given or options.site):
        raise usage_error("a probe file is needed", "see datacrumbs_probe_configurator --help")
    return Path(given or options.site)


def _selected(options: argparse.Namespace) -> tuple[tuple[str, ...], tuple[str, ...], str, bool]:
    return names(options.providers), names(options.without), options.preset or "", not options.no_move


def _configure(options: argparse.Namespace, paths: SystemPaths) -> None:
    output = Path(options.output)
    if not output.parent.is_dir():
        raise usage_error(f"{output}: the directory {output.parent} does not exist", f"mkdir -p {output.parent}")
    found = _composed(options, paths)
    write_probe_file(output, found.probe_file)
    _report(found, output, as_json=options.json)


def _report(found: Composed, output: Path, *, as_json: bool) -> None:
    grant = found.grant
    if found.is_remembered:
        when = instant(grant.issued)
        inform(f"kept from {when}: nothing has changed that it depends on (--fresh composes it again)")
    if as_json:
        summary = {
            "file": str(output),
            "functions": dict(found.counts),
            "notes": found.notes,
            "expires": grant.expires,
            "kept_from": grant.issued if found.is_remembered else None,
        }
        print(json.dumps(summary, indent=2, sort_keys=True))
    else:
        each = ", ".join(f"{name} {count}" for name, count in found.counts)
        functions = counted(sum(count for _, count in found.counts), "function")
        print(f"{output}: {functions}: {each}; for {grant.user} until {instant(grant.expires)}")


def _composed(options: argparse.Namespace, paths: SystemPaths) -> Composed:
    root, name = root_of(options.program or "", options.root or "")
    program = shutil.which(name) if name and root.is_own else name
    place = [str(paths.prefix.absolute()), str(root.directory), os.getcwd()]  # noqa: PTH109
    failures = _known_failures(options, paths)
    asked = [
        *place,
        options.site,
        program,
        *_selected(options),
        [[each.key, astuple(failures[each])] for each in sorted(failures)],
    ]
    if not options.fresh:
        found = _remembered(composition_cache.recall(_KIND, asked, os.environ), paths)
        if found is not None:
            _print_notes(found.notes)
            return found
    notes: list[str] = []
    with watched(analysis_cache.place()) as looking:
        looked_at(*deciding_files(paths))
        try:
            from datacrumbs.commands._composition import composed
            from datacrumbs.configure import Selection, current_host

            host = current_host(name, str(root.directory))
            answer = composed(options.site, host, Selection(*_selected(options)), paths, notes, failures)
        finally:
            _print_notes(notes)  # they also say why nothing was left
    answer["notes"] = notes
    composition_cache.remember(_KIND, asked, os.environ, looking, answer)
    return _of(answer, paths, is_remembered=False)


def _known_failures(options: argparse.Namespace, paths: SystemPaths) -> dict[Unattached, Failure]:
    if options.no_known_failures:
        return {}
    if not options.known_failures:
        from datacrumbs.runs.trace_places import latest_traces

        traces: list[Path] = []
        # Who cannot trust it, as in a user namespace of one's own, is not told where traces are, and composes all.
        with suppress(DatacrumbsError):
            traces = latest_traces(read_system_configuration(paths))
        if not traces:
            return {}
        from datacrumbs.runs.earlier_failures import earlier_failures

        return earlier_failures(traces)
    from datacrumbs.trace.reader import find_traces
    from datacrumbs.trace.unattached import unattached_in

    return unattached_in(find_traces(options.known_failures))


# Where it would not be taken any more, it is composed again.
def _remembered(answer: Any, paths: SystemPaths) -> Composed | None:
    found = None
    with suppress(DatacrumbsError, ValueError, TypeError, LookupError):
        found = _of(answer, paths, is_remembered=True)
    return found if found is not None and is_lasting(found.probe_file, paths) else None


def _of(answer: dict[str, Any], paths: SystemPaths, *, is_remembered: bool) -> Composed:
    probe_file = base64.b64decode(answer["probe_file"], validate=True)
    return Composed(
        probe_file,
        tuple((str(name), int(count)) for name, count in answer["counts"]),
        tuple(map(str, answer["notes"])),
        read_grant(open_envelope(probe_file, str(paths.signing_socket)), str(paths.signing_socket)),
        is_remembered,
    )


def _print_notes(notes: Sequence[str]) -> None:
    shown = len(notes) if verbosity() == Verbosity.VERBOSE else _SHOWN_NOTES
    for note in notes[:shown]:
        inform(note)
    if len(notes) > shown:
        inform(f"and {counted(len(notes) - shown, 'more note')}; --verbose and --json show all")

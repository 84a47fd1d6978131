"""Write the reference pages below docs/reference from the code that they describe.

Run it after a change of options, hooks, keys or counters; a test compares the pages with what it would write.
What the code says about itself (docstrings, help texts, comments of the C layout) is taken from there. The few
descriptions in this file are for what has no place for words, and an entry too many or too few is an error.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import json_forms
from command_lines import CommandLine, command_lines
from completion import bash_completion, zsh_completion
from hooks_page import hooks_page
from man_pages import man_page
from reference_text import code, default, described_type, page, prose, table
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from verb_completion import MAIN, bash_verbs, zsh_verbs

from datacrumbs import provider
from datacrumbs.configure import site
from datacrumbs.engine import counters
from datacrumbs.errors import ExitCode
from datacrumbs.model import rule_kinds, rules
from datacrumbs.model.plan import ARGUMENT_LIMIT
from datacrumbs.model.record import FunctionCounts
from datacrumbs.plugins import load_providers
from datacrumbs.report.call_selection import CallSelection, select, select_profiles
from datacrumbs.report.sorting import by_layer
from datacrumbs.report.summary import table as table_of
from datacrumbs.report.tables import print_table, print_trace
from datacrumbs.system import SystemConfiguration
from datacrumbs.trace import footer
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

REPOSITORY = Path(__file__).resolve().parent.parent
REFERENCE = Path("docs/reference")
MANUAL = Path("share/man")
BASH = Path("share/bash-completion/completions")
ZSH = Path("share/zsh/site-functions")
PICTURE = Path("docs/images/report.svg")
BUNDLED = ("hdf5", "mpi", "posix", "sys")

EXIT_STATUS = f"""## Exit status

{", ".join(f"{status.value} {status.meaning}" for status in ExitCode)}.
Messages go to standard error, data to standard output; a reader of a pipe that has had enough changes no status.
"""

DETAIL_KEYS = {
    "mode": "`trace`: a line for each call; `profile`: calls are added up by process, function and file",
    "sample": "one of how many calls gets a line, chosen at random; the others are counted as `filtered_sampled`",
}
TOP_KEYS = {
    "capture_probes": "list of entries, of either form; see below",
    "providers": "list of entries that name providers; an item that is a plain word is a provider's name",
    "filters": "mapping: what a run leaves out and counts as `filtered`",
    "inclusion_path": "the same as `filters.inclusion_path`, as the reference system's site files have it",
    "command_lines": "true (the default) or false: whether traces have the command lines of the processes",
    "move_probes": "true (the default) or false: whether library probes may be placed past instructions that cost more",
}
FILTER_KEYS = {
    "minimum_duration": "a time with its unit (`10us`, `1.5ms`), at most an hour; shorter calls are not written",
    "inclusion_path": "an absolute directory; calls on files that are not below it are not written",
}
PROVIDER_KEYS = {
    "provider": "name of an installed provider; required",
    "name": "a name for people; it has no effect",
    "preset": "one of the provider's presets; without it `default` where the provider has it, else every function",
    "functions": "a regular expression; selects functions whose whole symbol, name or alias it matches",
    "options": "mapping: the provider's own options, see [providers](providers.md)",
}
REFERENCE_KEYS = {
    "name": "required; the category in the trace of functions that no provider describes",
    "probe": "required; how to probe, see the next table",
    "type": "required; where the functions are listed, see the next table",
    "file": "absolute path of the header, library or kernel module",
    "regex": "a regular expression; selects functions whose whole name it matches",
    "enable_explorer": "true or false; accepted and ignored: functions are always read from this machine",
    "include_offsets": "true or false; accepted and without effect: names never carry offsets",
    "arguments": "`usdt` only: what the arguments are, as `label:type=role`, or `-` to skip one; default: numbers",
    "binary_path": "`usdt` only: absolute path of the file with the probes",
    "provider": "`usdt` only: the provider named in the file's USDT notes; all without it",
    "probes": "`custom` only; such entries are refused",
    "process_header": "`custom` only; such entries are refused",
    "start_event_id": "`custom` only; such entries are refused",
    "event_type": "`custom` only; such entries are refused",
}
LOSSES = {
    "ring_full": "The ring of calls had no room. Make `call_ring_mib` larger or probe less.",
    "too_deep": "The call was nested in more than 32 probed calls of its thread.",
    "no_memory": "The kernel had no memory for the thread's state, or no scratch space was free.",
    "unwritten": "Writing the file failed, for example because the disk was full.",
    "beyond_size": "The files were as large as `max_megabytes` allows; the run ended for that reason.",
    "unfinished": "The run was ended, and within a minute it was not written; only the footer was.",
}
COUNTS = ("entered", "recorded", "filtered", "counted", "unmatched", "in_flight")
CAUSES = {
    "filtered_duration": "Of `filtered`: shorter than `minimum_duration`.",
    "filtered_sampled": "Of `filtered`: not among the calls that sampling chose.",
    "filtered_helper": "Of `filtered`: followed for the handles that selected functions use; no entry selects it.",
    "counted_profile": "Of `counted`: the function's mode is `profile`.",
    "counted_guard": "Of `counted`: the function was called too often for a line each.",
}


def pages() -> dict[Path, str]:
    """Every generated page: path from the repository's root -> text."""
    written = {
        REFERENCE / "hooks.md": hooks_page(),
        REFERENCE / "json.md": page("JSON of commands", *json_forms.parts()),
        REFERENCE / "plan-rules.md": rules_page(),
        REFERENCE / "site-file-keys.md": site_file_page(),
        REFERENCE / "system-keys.md": system_page(),
        REFERENCE / "providers.md": providers_page(),
        REFERENCE / "trace-counters.md": counters_page(),
    }
    commands = command_pages()
    written |= {REFERENCE / "commands" / f"{name}.md": text for name, (_, text) in commands.items()}
    index = [f"* [`{name}`]({name}.md): {title}" for name, (title, _) in sorted(commands.items())]
    written[REFERENCE / "commands" / "README.md"] = page("Commands", "\n".join(index))
    return written | shipped_files()


# ---- commands ----


def command_pages() -> dict[str, tuple[str, str]]:
    """Command -> its one-line title and its page."""
    return {line.name: (line.summary, _command_page(line)) for line in command_lines()}


# Not argparse's own text: its layout differs between versions of Python.
def _command_page(line: CommandLine) -> str:
    parts = _command_line(line, line.name)
    for each in line.actions:
        parts += [f"## {line.name} {each.name}", *_command_line(each, f"{line.name} {each.name}")]
    examples = "\n".join(("```sh", *line.examples, "```"))
    statuses = table(("status", "meaning"), line.exit_status) if line.exit_status else ""
    ending = f"## Exit status\n\n{statuses}" if statuses else EXIT_STATUS
    return page(line.name, *parts, "## Example", examples, ending)


def _command_line(line: CommandLine, name: str) -> list[str]:
    usages = [word.usage for word in line.words]
    if line.actions:
        usages.append("ACTION")
    parts = [line.description, f"```text\n{name} {' '.join(usages)}\n```"]
    arguments = [(code(word.shown), word.help) for word in line.arguments]
    arguments += [(code(action.name), action.summary) for action in line.actions]
    if arguments:
        parts.append(table(("argument", "meaning"), arguments))
    parts.append(table(("option", "meaning"), ((code(word.shown), word.help) for word in line.options)))
    return parts


def shipped_files() -> dict[Path, str]:
    """Manual pages and completions, which the wheel brings: path from the repository's root -> text."""
    lines = command_lines()
    written = {MANUAL / f"man{line.section}/{line.name}.{line.section}": man_page(line, lines) for line in lines}
    written |= {BASH / line.name: bash_completion(line) for line in lines}
    written |= {ZSH / f"_{line.name}": zsh_completion(line) for line in lines}
    written[BASH / MAIN] = bash_verbs(written[BASH / MAIN])
    written[ZSH / f"_{MAIN}"] = zsh_verbs(written[ZSH / f"_{MAIN}"], {line.name: line for line in lines})
    return written


# ---- the rules of a plan ----


def rules_page() -> str:
    """What each field of a plan may hold, by the way to attach where that matters."""
    parts = []
    for kind, fields in rules.RULES.items():
        meanings = described_type(kind)[1]
        rows = [
            (code(field), *cells, meanings.get(field, "") if first else "")
            for field, entry in fields.items()
            for first, cells in _rule_rows(entry)
        ]
        parts += [f"## {kind.__name__}", table(("field", "attach", "holds", "meaning"), rows)]
    return page(
        "What a plan may hold",
        "One table in the code decides this for plans, for what providers return and for these pages; "
        "[write a provider](../write-a-provider.md) explains the classes.",
        *parts,
        "## Several fields together",
        f"* At most {rules.NAMED_LIMIT} arguments of a function have a role whose file or name is looked up "
        f"({', '.join(sorted(code(role.value) for role in rules.NAMED_ROLES))}); an `fd` behind a path or a handle is "
        "not looked up and does not count.\n"
        "* A function makes at most one handle through an address (`out_handle`), and the one that it gives back is "
        "the first of its handles.\n"
        f"* Arguments and the fields of the snippet are at most {ARGUMENT_LIMIT} together; their labels differ.\n"
        f"* A field of a tracepoint ends within the first {rules.RECORD_LIMIT} bytes of the record.",
    )


def _rule_rows(
    entry: rule_kinds.AnyRule | dict[rule_kinds.Context, rule_kinds.AnyRule],
) -> Iterator[tuple[bool, tuple[str, str]]]:
    if not isinstance(entry, dict):
        yield True, ("", _holds(entry))
        return
    contexts: dict[str, list[str]] = {}
    for attach, each in entry.items():
        contexts.setdefault(_holds(each), []).append(code(attach.value) if attach else "in a snippet")
    for number, (text, names) in enumerate(contexts.items()):
        yield number == 0, (", ".join(names), text)


def _holds(entry: rule_kinds.AnyRule) -> str:
    if isinstance(entry, rule_kinds.Rule):
        return entry.expected
    if isinstance(entry, rule_kinds.Part):
        return f"a {code(entry.of.__name__)}"
    of = entry.of.expected if isinstance(entry.of, rule_kinds.Rule) else code(entry.of.__name__)
    return f"{entry.expected} of: {of}" if entry.high else "nothing"


# ---- keys ----


def described_keys(keys: Iterable[str], descriptions: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Rows of a table of keys, which must be those that the code knows."""
    keys = tuple(keys)
    if differing := set(keys) ^ set(descriptions):
        raise RuntimeError(f"scripts/docs.py describes other keys than the code has: {sorted(differing)}")
    return ((code(key), descriptions[key]) for key in keys)


def site_file_page() -> str:
    """The keys of a site file."""
    ignored = {key: f"ignored, with a note: {reason}" for key, reason in site.IGNORED.items()}
    top = described_keys(site.KEYS, TOP_KEYS | DETAIL_KEYS | ignored)
    own = described_keys(site.PROVIDER_KEYS, PROVIDER_KEYS | DETAIL_KEYS)
    known = dict.fromkeys((*site.REFERENCE_KEYS, *site.USDT_KEYS, *site.CUSTOM_KEYS))
    sources = [
        (code(probe.value), ", ".join(code(source.value) for source in kinds)) for probe, kinds in site.SOURCES.items()
    ]
    return page(
        "Keys of the site file",
        "[The site file](../site-file.md) explains them with examples.",
        "## Top level",
        table(("key", "meaning"), top),
        "## filters",
        table(("key", "meaning"), ((code(key), meaning) for key, meaning in FILTER_KEYS.items())),
        "## Entries that name a provider",
        table(("key", "meaning"), own),
        "## Entries with `probe`, the reference system's form",
        table(("key", "meaning"), described_keys(known, REFERENCE_KEYS | DETAIL_KEYS)),
        table(("probe", "type may be"), sources),
    )


def system_page() -> str:
    """The keys of the system configuration."""
    _, meanings = described_type(SystemConfiguration)
    defaults = {field.name: default(field) for field in dataclasses.fields(SystemConfiguration)}
    defaults["trace_log_dir"] = code("/var/log/datacrumbs")
    rows = [(code(key), default, meanings[key]) for key, default in defaults.items()]
    return page(
        "Keys of the system configuration",
        "The file is `/etc/datacrumbs/datacrumbs.yaml`; [the page about it](../system-configuration.md) explains it.",
        table(("key", "default", "meaning"), rows),
    )


def providers_page() -> str:
    """The bundled providers with their options and presets."""
    loaded = load_providers((), BUNDLED)
    parts = []
    for each in loaded.all():
        options = [
            (
                code(option.name),
                option.type,
                _option_default(option.default),
                option.help + (f"; one of {', '.join(map(code, option.choices))}" if option.choices else ""),
            )
            for option in each.described.options
        ]
        presets = [(code(preset.name), preset.cost.value, preset.title) for preset in loaded.presets(each.name)]
        parts += [
            f"## {each.name}",
            f"{each.described.title}. Layer: {each.described.layer.value}; distribution `{each.distribution}`.",
            table(("option", "type", "default", "meaning"), options) if options else "No options.",
            table(("preset", "cost", "what it selects"), presets),
        ]
    costs = prose(inspect.getdoc(provider.Cost) or "")
    intro = (
        f"{costs} `low` is below 1 % of a typical I/O program, `medium` a few percent, `high` may dominate programs of "
        "many small calls. `datacrumbs_probe_configurator --list` shows what a host really has: a preset without a "
        "function on a host is absent there."
    )
    return page("The bundled providers", intro, *parts)


def _option_default(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(code, value)) or "empty"
    return code(str(value).lower()) if isinstance(value, bool) else code(value) if value != "" else "empty"


# ---- counters ----


def counters_page() -> str:
    """What the footer of a trace counts."""
    words = " ".join((inspect.getdoc(FunctionCounts) or "").split())
    meanings = dict(re.findall(r"(\w+): (.*?)(?= \w+: |$)", words))
    meanings["entered"] = "the function was called in a traced process; the sum of all the others"
    parts = [(code(name), prose(meanings[name]).rstrip(".")) for name in COUNTS]
    losses = (
        (code(f"lost_{name.strip('`')}"), meaning)
        for name, meaning in described_keys((*counters.LOSSES, *footer.LOSSES), LOSSES)
    )
    others = [
        (
            "names_unresolved",
            "Names that calls refer to and that never arrived; the trace has only their hash.",
        ),
        (
            "names_dropped",
            "Names beyond `names_mib`; their calls show `[name beyond names_mib]`.",
        ),
        ("files_late", "Files that were probed during the run because programs mapped them."),
        (
            "files_not_probed",
            "Libraries of selected providers that were mapped and not probed; such a trace is not complete.",
        ),
        ("lines", "Call lines in the trace."),
        ("profiles", "Profile lines in the trace."),
    ]
    totals = [
        (code(name), meaning) for name, meaning in (*zip(counters.TOTALS, _layout_totals(), strict=True), *others)
    ]
    return page(
        "Counters of a trace",
        "Every complete trace ends with a line `datacrumbs_counts` for each function that was entered, a line "
        "`datacrumbs_provenance`, and a line `datacrumbs_footer` with the sums. "
        "For each function `entered = recorded + filtered + counted + unmatched + in_flight + lost`, exactly.",
        "## Per function, and summed in the footer",
        table(("counter", "meaning"), (*parts, *described_keys(counters.CAUSES, CAUSES), *losses)),
        "## Of the run as a whole, in the footer",
        table(("counter", "meaning"), totals),
    )


def _layout_totals() -> list[str]:
    # The C enumeration says what each one counts, in the order of counters.TOTALS.
    layout = (REPOSITORY / "datacrumbs/model/contract.h").read_text(encoding="utf-8")
    body = layout.partition("enum dc_total {")[2].partition("};")[0]
    return [f"{text[:1].upper()}{text[1:]}." for text in re.findall(r"/\* (.*?) \*/", body)]


# ---- the picture ----


def picture(trace: Path) -> str:
    """The report of a trace as SVG, as `datacrumbs_report` prints it on a terminal."""
    console = Console(record=True, width=92, file=io.StringIO(), highlight=False, markup=False)
    traces = read_traces([trace])
    chosen = (select(traces, CallSelection()), select_profiles(traces, CallSelection()))
    rows = by_layer(table_of(traces, *chosen, "function", None))
    print_table(console, "Calls by layer and function", rows, console.width)
    console.print()
    print_table(console, "Most expensive files", table_of(traces, *chosen, "file", 10), console.width)
    console.print()
    print_trace(console, traces.files[0])
    # Fonts from the net are no part of a document that is read offline.
    form = re.sub(r"@font-face \{\{.*?\}\}|<!--.*?-->", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="datacrumbs_report", code_format=form, unique_id="report")


def main() -> int:
    """Write the pages; with ``--check`` only say which differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is not current")
    parser.add_argument("--picture", type=Path, metavar="TRACE", help="write the README's picture from a trace instead")
    options = parser.parse_args()
    if options.picture:
        (REPOSITORY / PICTURE).write_text(picture(options.picture), encoding="utf-8")
        return 0
    differing = 0
    for path, text in pages().items():
        file = REPOSITORY / path
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        differing += 1
        print(path)
        if not options.check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return 1 if options.check and differing else 0


if __name__ == "__main__":
    sys.exit(main())

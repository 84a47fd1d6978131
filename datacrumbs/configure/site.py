"""The site file: what a site wants probed, read from YAML and checked.

Two forms of entries may be side by side under ``capture_probes``: the reference system's, which
has the key ``probe``, and ours, which names a provider. The reference is ``docs/site-file.md``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.cache.inspected_files import looked_at
from datacrumbs.configure.pattern import Pattern, compile_pattern
from datacrumbs.elf.signatures import SignatureError, args
from datacrumbs.errors import usage_error
from datacrumbs.model.plan import SAMPLE_LIMIT, Filters, Mode
from datacrumbs.output import warn
from datacrumbs.quantities import read_duration
from datacrumbs.secure.document import Value, read_document
from datacrumbs.secure.files import first_unprotected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacrumbs.model.plan import Argument
    from datacrumbs.system import SystemPaths


class ProbeKind(StrEnum):
    """The value of ``probe`` in an entry of the reference system's form."""

    SYSCALLS = "syscalls"
    KPROBE = "kprobe"
    UPROBE = "uprobe"
    USDT = "usdt"
    CUSTOM = "custom"


class SourceKind(StrEnum):
    """The value of ``type`` in an entry of the reference system's form."""

    HEADER = "header"
    BINARY = "binary"
    KSYM = "ksym"
    USDT = "usdt"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Detail:
    """How much of its functions' calls an entry wants kept; None where it does not say.

    Args:
        mode: A line for each call, or calls added up.
        sample: One of how many calls gets a line.
    """

    mode: Mode | None = None
    sample: int | None = None

    def over(self, other: Detail) -> Detail:
        """What this one says, and the other where this one is silent."""
        return Detail(self.mode or other.mode, self.sample or other.sample)


UNSAID = Detail()


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """An entry that names one of the providers.

    Args:
        where: The entry in the site file; None when the command line asked for the provider.
        provider: Its name.
        preset: The preset to take; empty for the provider's default.
        functions: Only functions whose symbol, name or alias this matches; None for all of the preset.
        options: Key to value, not yet checked against what the provider takes.
        detail: How much of the calls is kept.
    """

    provider: str
    where: Value | None = None
    preset: str = ""
    functions: Pattern | None = None
    options: Mapping[str, Value] = field(default_factory=dict)
    detail: Detail = UNSAID

    @property
    def label(self) -> str:
        """What messages call the entry."""
        where = f"{self.where.file}:{self.where.line}: {self.where.key} " if self.where else ""
        return f"{where}({self.provider})" if where else f"provider {self.provider}"


@dataclass(frozen=True, slots=True)
class ReferenceEntry:
    """An entry of the reference system's form.

    Args:
        where: The entry in the site file.
        name: What the user calls it; the category of functions that no provider knows.
        probe: How to probe.
        source: Where the functions are listed.
        file: That file, absent for ``ksym``; for ``usdt`` the ``binary_path``.
        functions: Only these; None for all.
        usdt_provider: The provider named in the ELF file's USDT notes; empty for any.
        arguments: What the arguments of its USDT probes are; empty to take them as numbers.
        detail: How much of the calls is kept.
    """

    where: Value
    name: str
    probe: ProbeKind
    source: SourceKind
    file: Value | None = None
    functions: Pattern | None = None
    usdt_provider: str = ""
    arguments: tuple[Argument, ...] = ()
    detail: Detail = UNSAID

    @property
    def label(self) -> str:
        """What messages call the entry."""
        return f"{self.where.file}:{self.where.line}: {self.where.key} ({self.name})"


Entry = ProviderEntry | ReferenceEntry


@dataclass(frozen=True, slots=True)
class SiteConfiguration:
    """A site file that was read and checked.

    Args:
        file: Where it came from.
        entries: What to probe, in the order of the file.
        filters: What runs leave out.
        notes: What the user should be shown, each a line.
        detail: How much of the calls is kept where an entry does not say.
        move_probes: Whether probes may be placed after the first instructions of functions, where they cost less.
    """

    file: Path
    entries: tuple[Entry, ...] = ()
    filters: Filters = field(default_factory=Filters)
    notes: tuple[str, ...] = ()
    detail: Detail = UNSAID
    move_probes: bool = True


SOURCES = {
    ProbeKind.SYSCALLS: (SourceKind.HEADER,),
    ProbeKind.KPROBE: (SourceKind.HEADER, SourceKind.BINARY, SourceKind.KSYM),
    ProbeKind.UPROBE: (SourceKind.BINARY,),
    ProbeKind.USDT: (SourceKind.USDT,),
    ProbeKind.CUSTOM: (SourceKind.CUSTOM,),
}
DETAIL_KEYS = ("mode", "sample")
PROVIDER_KEYS = ("provider", "name", "preset", "functions", "options", *DETAIL_KEYS)
REFERENCE_KEYS = ("name", "probe", "type", "file", "regex", "enable_explorer", "include_offsets", *DETAIL_KEYS)
USDT_KEYS = (*REFERENCE_KEYS, "binary_path", "provider", "arguments")
CUSTOM_KEYS = (*REFERENCE_KEYS, "probes", "process_header", "start_event_id", "event_type")
IGNORED = {
    "data_dir": "nothing is kept between configurations",
    "name": "the file's own name names it",
    "profiling_interval": "it belongs to a run, not to a probe file",
    "trace_log_dir": "the system configuration decides where traces go",
    "user": "the signing service knows who asks and grants the probe file to that user",
}
KEYS = (
    "capture_probes",
    "providers",
    "filters",
    "inclusion_path",
    "command_lines",
    "move_probes",
    *DETAIL_KEYS,
    *IGNORED,
)
_LONGEST = 3600 * 10**9


def default_site_file() -> Path:
    """The site file that comes with DataCrumbs."""
    return Path(__file__).with_name("default.yaml")


def find_site_file(name: str, paths: SystemPaths) -> Path:
    """The file that ``name`` means: a path, or the name of a file in one of three places.

    They are the working directory, the user's directory of configuration, and the installation's of site files.

    Raises:
        DatacrumbsError: (exit 2) when it is in none of them.
    """
    file = Path(name)
    directories = [*_own_site_files(os.environ), paths.site_files]
    found = [directory / name for directory in directories]
    looked_at(file, *found)
    other = None if "/" in name else next((candidate for candidate in found if candidate.is_file()), None)
    if file.exists() or "/" in name:
        if not file.is_file():
            raise usage_error(f"{file}: no such site file", "give the path of a YAML file")
        if other is None or not _hides_for_root(file):
            return file
        warn(f"./{name}: users other than root can change it; {other} is taken (the path ./{name} means the former)")
    if other is not None:
        return other
    raise usage_error(
        f"{name}: no such site file here or in {', '.join(map(str, directories))}",
        "give the path of a YAML file; datacrumbs_setup installs default.yaml",
    )


# Another user could have put it there, under the name of the one that root means.
def _hides_for_root(file: Path) -> bool:
    return os.geteuid() == 0 and first_unprotected(file.resolve(), sticky=True) is not None


# Root takes none that another user could have put there, wherever HOME points under sudo.
def _own_site_files(environment: Mapping[str, str]) -> list[Path]:
    base = environment.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):  # as the specification of these directories has it
        home = environment.get("HOME", "")
        base = f"{home}/.config" if home.startswith("/") else ""
    place = Path(base, "datacrumbs")
    if not base or (os.geteuid() == 0 and place.is_dir() and first_unprotected(place.resolve(), sticky=True)):
        return []
    return [place]


def read_site_file(file: Path, *, protected: bool = False) -> SiteConfiguration:
    """Read and check a site file.

    Args:
        file: The file.
        protected: Whether it is one of the installation's, which only the administrator may be able to change.

    Raises:
        DatacrumbsError: (exit 2) ``FILE:LINE: KEY: problem; expected ...`` for anything that is not as
            ``docs/site-file.md`` says; (exit 3) when others may change a file of the installation.
    """
    document = read_document(file, protected=protected)
    keys = document.mapping(KEYS)
    notes = [keys[key].message(f"ignored: {reason}") for key, reason in IGNORED.items() if key in keys]
    entries: list[Entry] = []
    if "capture_probes" in keys and keys["capture_probes"].content is not None:
        entries += [_entry(item, notes) for item in keys["capture_probes"].items()]
    if "providers" in keys:
        entries += [_short_entry(item) for item in keys["providers"].items()]
    move = keys["move_probes"].boolean() if "move_probes" in keys else True
    return SiteConfiguration(file, tuple(entries), _filters(keys), tuple(notes), _detail(keys), move)


def _entry(item: Value, notes: list[str]) -> Entry:
    keys = item.mapping()
    if "probe" in keys:
        return _reference_entry(item, notes)
    if "provider" not in keys:
        item.fail("has neither `provider` nor `probe`", "`provider: NAME`, or an entry with `probe` and `type`")
    return _provider_entry(item)


def _short_entry(item: Value) -> Entry:
    if isinstance(item.content, dict):
        return _provider_entry(item)
    return ProviderEntry(item.text(), item)


def _provider_entry(item: Value) -> ProviderEntry:
    keys = item.mapping(PROVIDER_KEYS)
    if "provider" not in keys:
        item.fail("names no provider", "`provider: NAME`")
    return ProviderEntry(
        keys["provider"].text(),
        item,
        preset=keys["preset"].text() if "preset" in keys else "",
        functions=compile_pattern(keys["functions"]) if "functions" in keys else None,
        options=keys["options"].mapping() if "options" in keys else {},
        detail=_detail(keys),
    )


def _reference_entry(item: Value, notes: list[str]) -> ReferenceEntry:
    keys = item.mapping(required=("name", "probe", "type"))
    probe = ProbeKind(keys["probe"].choice([kind.value for kind in ProbeKind]))
    item.mapping({ProbeKind.USDT: USDT_KEYS, ProbeKind.CUSTOM: CUSTOM_KEYS}.get(probe, REFERENCE_KEYS))
    source = SourceKind(keys["type"].choice([kind.value for kind in SOURCES[probe]]))
    for flag in ("enable_explorer", "include_offsets"):
        if flag in keys:
            keys[flag].boolean()
    if "enable_explorer" in keys:
        notes.append(keys["enable_explorer"].message("ignored: functions are always read from this machine"))
    file = _reference_file(item, keys, source)
    if source is SourceKind.KSYM and "regex" not in keys:
        item.fail("the key `regex` is missing", "an expression that chooses kernel functions, such as '^xfs.*'")
    return ReferenceEntry(
        item,
        keys["name"].text(),
        probe,
        source,
        file,
        compile_pattern(keys["regex"]) if "regex" in keys else None,
        keys["provider"].text() if "provider" in keys else "",
        _arguments(keys["arguments"]) if "arguments" in keys else (),
        _detail(keys),
    )


def _arguments(where: Value) -> tuple[Argument, ...]:
    texts = [item.text() for item in where.items()]
    try:
        return args(*texts)
    except SignatureError as error:
        raise where.error(error.message) from None


def _reference_file(item: Value, keys: Mapping[str, Value], source: SourceKind) -> Value | None:
    if source in {SourceKind.KSYM, SourceKind.CUSTOM}:
        return None
    key = "binary_path" if source is SourceKind.USDT else "file"
    if key not in keys:
        item.fail(f"the key `{key}` is missing", f"`{key}: PATH`, as every entry of type {source.value} has")
    if not keys[key].text().startswith("/"):
        keys[key].fail(f"{keys[key].shown} is not an absolute path", "a path that starts with /")
    return keys[key]


def _detail(keys: Mapping[str, Value]) -> Detail:
    mode = Mode(keys["mode"].choice([mode.value for mode in Mode])) if "mode" in keys else None
    if "sample" not in keys:
        return Detail(mode)
    where, sample = keys["sample"], keys["sample"].content
    if isinstance(sample, bool) or not isinstance(sample, int) or not 1 <= sample <= SAMPLE_LIMIT:
        where.fail(f"{where.shown} is not a number of calls", f"a whole number from 1 to {SAMPLE_LIMIT}")
    if mode is Mode.PROFILE:
        where.fail("a profile counts every call", "`sample` with mode trace only")
    return Detail(Mode.TRACE, sample)


def _filters(keys: Mapping[str, Value]) -> Filters:
    given = keys["filters"].mapping(("minimum_duration", "inclusion_path")) if "filters" in keys else {}
    if "inclusion_path" in keys and "inclusion_path" in given:
        keys["inclusion_path"].fail(f"also set on line {given['inclusion_path'].line}", "it once")
    inclusion = given.get("inclusion_path") or keys.get("inclusion_path")
    return Filters(
        minimum_duration_ns=_duration(given["minimum_duration"]) if "minimum_duration" in given else 0,
        inclusion_path=_directory(inclusion) if inclusion is not None and inclusion.content else "",
        command_lines=keys["command_lines"].boolean() if "command_lines" in keys else True,
    )


def _directory(where: Value) -> str:
    text = where.text()
    parts = text.split("/")
    if not text.startswith("/") or {".", ".."} & set(parts):
        where.fail(f"{text!r} is not an absolute path without . and ..", "a directory such as /lustre/project")
    return "/" + "/".join(part for part in parts if part)


def _duration(where: Value) -> int:
    expected = "a time with its unit, such as 10us, 500 ns or 1.5ms, of at most an hour"
    try:
        nanoseconds = read_duration(str(where.content))
    except ValueError:
        raise where.error(f"{where.shown} is not a duration", expected) from None
    if nanoseconds > _LONGEST:
        where.fail(f"{where.shown} is too long", expected)
    return nanoseconds

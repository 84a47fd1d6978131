"""Where a DataCrumbs installation keeps its files, and the system configuration.

Every path is below a prefix, ``/`` for a real installation, so that tests and packagers
work in a private tree. The configuration is ``etc/datacrumbs/datacrumbs.yaml``.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.quantities import MEGABYTE, SECOND, read_duration, read_size
from datacrumbs.secure.document import Value, read_document_if_present
from datacrumbs.secure.files import check_protected

if TYPE_CHECKING:
    from collections.abc import Callable

SEARCHED = 0o711
"""Mode of a directory where users find what they know the name of, and do not learn of each other."""


def make_searched(directory: Path) -> None:
    """Make a directory of this mode, unless it is there.

    Raises:
        DatacrumbsError: (exit 3) when others than root may change it.
    """
    with suppress(FileExistsError):
        directory.mkdir(parents=True)
        directory.chmod(SEARCHED)  # whatever the umask is
    check_protected(directory)


class _Below:
    """A path below the prefix of the installation that is asked for it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __get__(self, paths: SystemPaths, _: type[SystemPaths]) -> Path:
        return paths.prefix / self._path


@dataclass(frozen=True, slots=True)
class SystemPaths:
    """The places of one installation below ``prefix``."""

    prefix: Path = Path("/")

    configuration = _Below("etc/datacrumbs")
    """Directory of all configuration, root-owned."""
    system_file = _Below("etc/datacrumbs/datacrumbs.yaml")
    """The system configuration."""
    site_files = _Below("etc/datacrumbs/configs")
    """Directory of site files that users give to the configurator."""
    private_key = _Below("etc/datacrumbs/keys/signing.key")
    """The signing key, mode 0400, on the signing host only."""
    next_private_key = _Below("etc/datacrumbs/keys/next.key")
    """The key that will sign after the next rotation; its public half travels before."""
    seal_key = _Below("etc/datacrumbs/keys/seal.key")
    """The key that this node seals its traces with, mode 0400; it signs nothing else."""
    seal_keys = _Below("etc/datacrumbs/seal-keys")
    """Directory of public keys whose seals are believed; none of them is trusted to sign probe files."""
    trusted_keys = _Below("etc/datacrumbs/trust")
    """Directory of public keys, one ``<key id>.pem`` each, and of ``revoked.yaml``."""
    trusted_snippets = _Below("etc/datacrumbs/trusted-snippets.yaml")
    """The list of snippet digests that an administrator trusts."""
    policy = _Below("etc/datacrumbs/policy.yaml")
    """What the signing service grants to whom."""
    run = _Below("run/datacrumbs")
    """Ready files, environment files, the signing socket."""
    signing_socket = _Below("run/datacrumbs/sign.sock")
    """The signing service's AF_UNIX socket."""
    runs = _Below("run/datacrumbs/runs")
    """What the service of runs keeps of each of its runs, and its probe file."""
    runs_socket = _Below("run/datacrumbs/runs.sock")
    """That service's AF_UNIX socket."""
    jobs = _Below("run/datacrumbs/jobs")
    """What prologs leave for epilogs, and for the jobs' users."""
    state = _Below("var/lib/datacrumbs")
    """What is kept between runs."""
    seals = _Below("var/lib/datacrumbs/seals")
    """The seals of this node's runs."""
    kept = _Below("var/lib/datacrumbs/kept")
    """What compositions and reports by root have found out about files."""
    attach_results = _Below("var/lib/datacrumbs/attach.sqlite")
    """SQLite file of what could and could not be attached."""
    traces = _Below("var/log/datacrumbs")
    """Default trace directory."""

    @property
    def hooks(self) -> tuple[Path, ...]:
        """Directories of what schedulers are to call and load."""
        return (self.configuration / "slurm", self.configuration / "flux")


@dataclass(frozen=True, slots=True)
class SystemConfiguration:
    """What the administrator sets for every run on this host.

    Args:
        trace_log_dir: Directory of traces; root-owned, or the traced user's own.
        trace_pattern: Path below it; ``{user} {run_id} {host} {probes} {year} {month} {day} {time}``.
        call_ring_mib: Size of the ring of calls; a power of two.
        name_ring_mib: Size of the ring of names; a power of two.
        spool_mib: How much memory may hold what was taken from the rings and is not written yet; given back afterwards.
        names_mib: How much memory names may take, which stay for the whole run; further ones are counted as dropped.
        handles: How many open handles (FILE *, hid_t, MPI_File) are followed.
        profiles: How many combinations of process, function and file are aggregated separately in one interval.
        profile_seconds: Interval at which aggregated calls are written; seconds, or with a unit.
        guard_function_rate: Calls per second above which a function is counted, not recorded.
        guard_total_rate: Calls per second of all functions above which the most called ones are counted, not recorded.
        guard_ring_percent: How full the ring of calls may be before the most called functions are only counted;
            100 lets it overflow.
        late_files: How many files may be probed that programs map while a run goes on, under other names than the plan
            has: a library that is opened late, or a container's own; 0 neither probes nor mentions them.
        flush_seconds: A gzip member is closed at least this often; seconds, or with a unit.
        duration_seconds: A run ends by itself after this time, ``90s`` or ``2h`` (seconds without a unit); 0 for never.
        rotate_megabytes: A trace continues in a new file when one has this size, ``512M`` or ``2G`` (megabytes without
            a unit); 0 for one file.
        max_megabytes: A run ends by itself when its files have this size in total, likewise; 0 for never.
        redact_paths: Shell patterns of absolute paths, such as ``/home/*/secret``: of what they match, and of all
            below it, no name gets into a trace.
        command_lines: Whether the command lines of traced processes get into traces; if so, a site file can still leave
            them out.
        seal_traces: Whether root seals each run: signs its counts and the digests of its trace, with a key that
            `datacrumbs_setup` makes.
        program_stores: Directories of compiled programs that hosts of one kind share and this one only reads; each
            directory on the way there must be root's.
        prolog_seconds: How long a job waits in its prolog until its run is ready; seconds, or with a unit.
        epilog_seconds: How long its epilog waits until the trace is complete, likewise; it is completed in any case.
        signing_host: Address and port of the host that signs, for the relay of a login node that does not:
            ``10.0.0.1:7411``; empty where there is no relay.
    """

    trace_log_dir: Path
    trace_pattern: str = "{user}/{year}-{month}-{day}/{probes}-{run_id}-{host}.pfw.gz"
    call_ring_mib: int = 64
    name_ring_mib: int = 8
    spool_mib: int = 256
    names_mib: int = 512
    handles: int = 65536
    profiles: int = 65536
    profile_seconds: float = 1.0
    guard_function_rate: int = 20_000_000
    guard_total_rate: int = 100_000_000
    guard_ring_percent: int = 90
    late_files: int = 256
    flush_seconds: float = 1.0
    duration_seconds: float = 0.0
    rotate_megabytes: float = 0
    max_megabytes: float = 100_000
    redact_paths: tuple[str, ...] = ()
    command_lines: bool = True
    seal_traces: bool = False
    program_stores: tuple[str, ...] = ()
    prolog_seconds: float = 3.0
    epilog_seconds: float = 1.0
    signing_host: str = ""


def read_system_configuration(paths: SystemPaths) -> SystemConfiguration:
    """Read ``datacrumbs.yaml``; a missing file means the defaults.

    Raises:
        DatacrumbsError: (exit 2) for an unknown key, a wrong type or a value out of range; (exit 3) when others than
            root may change the file.
    """
    values: dict[str, object] = {"trace_log_dir": paths.traces}
    document = read_document_if_present(paths.system_file)
    if document is not None:
        known = {entry.name: str(entry.type) for entry in fields(SystemConfiguration)}
        for key, value in document.mapping(known).items():
            values[key] = _checked(key, known[key], value)
    return SystemConfiguration(**values)  # type: ignore[arg-type]


def _checked(key: str, kind: str, value: Value) -> object:
    content = _in_its_unit(key, value)
    number = 0 if isinstance(content, bool) or not isinstance(content, (int, float)) else content
    if kind == "Path" and isinstance(content, str) and content.startswith("/"):
        return Path(content)
    if (kind == "str" and isinstance(content, str) and content) or (kind == "bool" and isinstance(content, bool)):
        return content
    if key in _LIMITS and number == 0 and content == 0 and not isinstance(content, bool):
        return 0
    if kind == "float" and number > 0:
        return float(number)
    if kind == "int" and isinstance(number, int) and number > 0:
        if key.endswith("_mib") and number & (number - 1):
            value.fail(f"{number} is not a power of two", "1, 2, 4, 8, ... MiB")
        if key.endswith("_percent") and number > 100:
            value.fail(f"{number} is more than 100", "a percentage, 1 to 100")
        return number
    if kind == "tuple[str, ...]" and isinstance(content, list):
        return tuple(_pattern(entry) for entry in value.items())
    wanted, example = _KINDS[kind]
    raise value.error(f"{value.shown} is not {wanted}", example)


# Of a text with a unit, how many of the units that the key names.
def _in_its_unit(key: str, value: Value) -> object:
    content = value.content
    parse, unit = next((each for suffix, each in _UNITS.items() if key.endswith(suffix)), (None, 0))
    if parse is None or not isinstance(content, str):
        return content
    try:
        amount = parse(content, unit) / unit
    except ValueError as error:
        problem, _, expected = str(error).partition("; expected ")
        raise value.error(problem, expected) from None
    return int(amount) if amount.is_integer() else amount


def _pattern(value: Value) -> str:
    text = value.text()
    if not text.startswith("/") or {".", ".."} & set(text.split("/")) or not text.strip("/"):
        value.fail(f"{text!r} is not an absolute path without . and ..", "a pattern such as /home/*/secret")
    return text


_UNITS: dict[str, tuple[Callable[[str, int], int], int]] = {
    "_seconds": (read_duration, SECOND),
    "_mib": (read_size, 1 << 20),
    "_megabytes": (read_size, MEGABYTE),
}
"""Keys whose value may have a unit, by how they end: the parser, and the unit of a bare number."""
_LIMITS = {"late_files", "duration_seconds", "rotate_megabytes", "max_megabytes"}
_KINDS = {
    "Path": ("an absolute path", "a directory such as /var/log/datacrumbs"),
    "str": ("a string", "text in quotes"),
    "float": ("a positive number", "e.g. 1.0"),
    "bool": ("true or false", "true or false"),
    "int": ("a positive whole number", "e.g. 64"),
    "tuple[str, ...]": ("a list", "absolute paths or patterns of them, e.g. [/home/*/secret]"),
}

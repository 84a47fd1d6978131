"""Where a DataCrumbs installation keeps its files, and the system configuration.

Every path is below a prefix, ``/`` for a real installation, so that tests and packagers
work in a private tree. The configuration is ``etc/datacrumbs/datacrumbs.yaml``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from datacrumbs.errors import usage_error


@dataclass(frozen=True, slots=True)
class SystemPaths:
    """The places of one installation below ``prefix``."""

    prefix: Path = Path("/")

    @property
    def configuration(self) -> Path:
        """Directory of all configuration, root-owned."""
        return self.prefix / "etc/datacrumbs"

    @property
    def system_file(self) -> Path:
        """The system configuration."""
        return self.configuration / "datacrumbs.yaml"

    @property
    def site_files(self) -> Path:
        """Directory of site files that users give to the configurator."""
        return self.configuration / "configs"

    @property
    def private_key(self) -> Path:
        """The signing key, mode 0400, on the signing host only."""
        return self.configuration / "keys/signing.key"

    @property
    def trusted_keys(self) -> Path:
        """Directory of public keys, one ``<key id>.pem`` each."""
        return self.configuration / "trust"

    @property
    def trusted_snippets(self) -> Path:
        """The list of snippet digests that an administrator trusts."""
        return self.configuration / "trusted-snippets.yaml"

    @property
    def policy(self) -> Path:
        """What the signing service grants to whom."""
        return self.configuration / "policy.yaml"

    @property
    def run(self) -> Path:
        """Ready files, environment files, the signing socket."""
        return self.prefix / "run/datacrumbs"

    @property
    def signing_socket(self) -> Path:
        """The signing service's AF_UNIX socket."""
        return self.run / "sign.sock"

    @property
    def state(self) -> Path:
        """What is kept between runs."""
        return self.prefix / "var/lib/datacrumbs"

    @property
    def attach_results(self) -> Path:
        """SQLite file of what could and could not be attached."""
        return self.state / "attach.sqlite"

    @property
    def traces(self) -> Path:
        """Default trace directory."""
        return self.prefix / "var/log/datacrumbs"


@dataclass(frozen=True, slots=True)
class SystemConfiguration:
    """What the administrator sets for every run on this host.

    Args:
        trace_log_dir: Directory of traces; root-owned, or the traced user's own.
        trace_pattern: Path below it; ``{user} {run_id} {host} {probes} {year} {month} {day} {time}``.
        call_ring_mib: Size of the ring of calls; a power of two.
        name_ring_mib: Size of the ring of names; a power of two.
        processes: How many traced processes there can be at once.
        handles: How many open handles (FILE *, hid_t, MPI_File) are followed.
        flush_seconds: A gzip member is closed at least this often.
    """

    trace_log_dir: Path
    trace_pattern: str = "{user}/{year}-{month}-{day}/{probes}-{run_id}-{host}.pfw.gz"
    call_ring_mib: int = 64
    name_ring_mib: int = 8
    processes: int = 65536
    handles: int = 65536
    flush_seconds: float = 1.0


def read_system_configuration(paths: SystemPaths) -> SystemConfiguration:
    """Read ``datacrumbs.yaml``; a missing file means the defaults.

    Raises:
        DatacrumbsError: (exit 2) for an unknown key, a wrong type or a value out of range.
    """
    file = paths.system_file
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        document = {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise usage_error(f"{file}: cannot be read: {error}", "mend the file or run datacrumbs_setup") from None
    if not isinstance(document, dict):
        raise usage_error(f"{file}: not a mapping of keys; expected `key: value` lines")
    known = {entry.name: entry.type for entry in fields(SystemConfiguration)}
    values: dict[str, object] = {"trace_log_dir": paths.traces}
    for key, value in document.items():
        if key not in known:
            raise usage_error(f"{file}: {key}: unknown key; expected one of {', '.join(sorted(known))}")
        values[key] = _checked(file, key, str(known[key]), value)
    return SystemConfiguration(**values)  # type: ignore[arg-type]


def _checked(file: Path, key: str, kind: str, value: object) -> object:
    if kind == "Path" and isinstance(value, str) and value.startswith("/"):
        return Path(value)
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "float" and isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        return float(value)
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool) and value > 0:
        if key.endswith("_mib") and value & (value - 1):
            raise usage_error(f"{file}: {key}: {value} is not a power of two; expected 1, 2, 4, 8, ... MiB")
        return value
    expected = {"Path": "an absolute path", "str": "a string", "float": "a positive number"}.get(
        kind, "a positive whole number"
    )
    raise usage_error(f"{file}: {key}: {value!r} is not {expected}")

"""The files of an installation that systemd reads: units, and what it makes in ``/run`` at boot.

A distribution's package brings them ready in ``/usr/lib`` and removes them itself. A copy in ``/etc`` would hide
those, also after an update, so set-up makes one only where no package has.
"""

from __future__ import annotations

import math
import re
import sys
import sysconfig
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import datacrumbs
from datacrumbs.errors import usage_error
from datacrumbs.install.step import Step, by_root, removed
from datacrumbs.installed import SHIPPED, installed
from datacrumbs.secure.files import write_atomically
from datacrumbs.system import read_system_configuration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.system import SystemPaths

SIGNING_UNIT = "datacrumbs_sign_probes.service"
SIGNING_SOCKET = "datacrumbs_sign_probes.socket"
REMOTE_SOCKET = "datacrumbs_sign_remote.socket"
RELAY_UNIT = "datacrumbs_sign_relay.service"
RELAY_SOCKET = "datacrumbs_sign_relay.socket"
RUN_UNIT = "datacrumbs@.service"
RUNS_UNIT = "datacrumbs_runs.service"
RUNS_SOCKET = "datacrumbs_runs.socket"
SIGNING_UNITS = (SIGNING_SOCKET, SIGNING_UNIT, REMOTE_SOCKET)
RELAY_UNITS = (RELAY_SOCKET, RELAY_UNIT)
RUN_UNITS = (RUN_UNIT, RUNS_SOCKET, RUNS_UNIT)
HOOKS = {
    "slurm_prolog": "slurm/prolog",
    "slurm_epilog": "slurm/epilog",
    "slurm_task_prolog": "slurm/task_prolog",
    "flux_prolog": "flux/prolog",
    "flux_epilog": "flux/epilog",
    "flux_shell.lua": "flux/shell.lua",
    "flux_cli.py": "flux/cli.py",
}
"""What schedulers call and load, and where it is below the installation's configuration."""
PACKAGED = ("usr/lib", "lib")
"""Where a package's files for systemd are, below the root; the second one where /lib is no link."""
_BEYOND_SECONDS = 2
"""After how much more time a script ends an interpreter that does not keep its own time limit."""
_UNITS = "etc/systemd/system"
_STARTED = re.compile(r" -I (/\S+)/datacrumbs")
"""A command of ours as templates have it."""
_TEMPORARY_FILES = "etc/tmpfiles.d/datacrumbs.conf"


def shipped(name: str) -> bytes:
    """What the wheel brings: a unit as a template, or a default configuration."""
    return installed("data", SHIPPED / name).read_bytes()


def unit(paths: SystemPaths, name: str) -> Iterator[Step]:
    """Make a unit, and let runs write where traces go."""
    for step in _packaged_or_made(paths, name, f"{_UNITS}/{name}"):
        changed = step.state != "kept" and str(paths.prefix) == "/"
        notes = (step.note, "then: systemctl daemon-reload" if changed else "")
        yield replace(step, note="; ".join(filter(None, notes)))
    if name == RUN_UNIT and _packaged(paths, f"{_UNITS}/{name}") is not None:
        yield from _own_traces(paths)


def temporary_files(paths: SystemPaths) -> Iterator[Step]:
    """Make what lets the run directory be there after a reboot."""
    return _packaged_or_made(paths, "tmpfiles.conf", _TEMPORARY_FILES)


def hooks(paths: SystemPaths) -> Iterator[Step]:
    """Make what SLURM and Flux call and load before, in and after a job."""
    for template, name in HOOKS.items():
        yield _filled(paths.configuration / name, unit_text(template, paths).encode(), 0o755)


def written(paths: SystemPaths) -> list[Path]:
    """All that the others here may have written."""
    units = [paths.prefix / _UNITS / name for name in (*SIGNING_UNITS, *RELAY_UNITS, *RUN_UNITS)]
    return [
        *units,
        *(paths.configuration / name for name in HOOKS.values()),
        _drop_in(paths),
        paths.prefix / _TEMPORARY_FILES,
    ]


def other_installation(paths: SystemPaths) -> Path | None:
    """The directory of commands that units and hooks here start, where it is there and another one than ours."""
    for path in written(paths):
        with suppress(OSError):
            if found := _STARTED.search(path.read_text(encoding="utf-8", errors="surrogateescape")):
                commands = Path(found[1])
                if (commands / "datacrumbs_setup").exists() and not commands.samefile(sysconfig.get_path("scripts")):
                    return commands
    return None


def drop_in_directory(paths: SystemPaths) -> Path:
    """Where additions to a packaged unit for runs are, an administrator's as well."""
    return paths.prefix / _UNITS / f"{RUN_UNIT}.d"


def _drop_in(paths: SystemPaths) -> Path:
    return drop_in_directory(paths) / "datacrumbs-traces.conf"


def _packaged(paths: SystemPaths, place: str) -> Path | None:
    below = place.removeprefix("etc/")
    candidates = (paths.prefix / directory / below for directory in PACKAGED)
    return next((each for each in candidates if each.is_file()), None)


def _packaged_or_made(paths: SystemPaths, template: str, place: str) -> Iterator[Step]:
    path, content = paths.prefix / place, unit_text(template, paths).encode()
    packaged = _packaged(paths, place)
    if packaged is None:
        yield _filled(path, content)
        return
    yield Step("kept", str(packaged), "of the package")
    if path.is_file() and path.read_bytes() == content:
        yield replace(removed(path), note=f"it hid {packaged}")
    elif path.exists():
        yield Step("kept", str(path), f"hides {packaged}: use a drop-in instead and remove it")


# A package's unit names the default place of traces.
def _own_traces(paths: SystemPaths) -> Iterator[Step]:
    path, traces = _drop_in(paths), read_system_configuration(paths).trace_log_dir
    if traces != paths.traces:
        yield _filled(path, f"[Service]\nReadWritePaths=-{_for_unit(str(traces))}\n".encode())
    elif path.exists():
        yield removed(path)


# What is derived from the installation is written again; an administrator changes units by drop-ins.
def _filled(path: Path, content: bytes, mode: int = 0o644) -> Step:
    if path.is_file() and path.read_bytes() == content:
        return Step("kept", str(path))
    state = "updated" if path.exists() else "made"
    return Step(state, str(path), act=lambda: _write_below(path, content, mode))


def _write_below(path: Path, content: bytes, mode: int) -> None:
    with by_root(path.parent, "made"):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content, mode)


def unit_text(name: str, paths: SystemPaths) -> str:
    """A unit file, or a script, for an installation.

    Args:
        name: Its name as it is shipped.
        paths: The installation; the directory of traces in its system configuration may be written by a run.

    Raises:
        DatacrumbsError: (exit 2) for a path that a unit file cannot hold.
    """
    configuration = read_system_configuration(paths)
    filled = {
        "@PYTHON@": sys.executable,
        "@SCRIPTS@": sysconfig.get_path("scripts"),
        "@PACKAGE@": str(Path(datacrumbs.__file__).parent),
        "@PREFIX@": str(paths.prefix).rstrip("/") + "/",
        "@TRACES@": str(configuration.trace_log_dir),
        "@PROLOG_SECONDS@": str(math.ceil(configuration.prolog_seconds) + _BEYOND_SECONDS),
        "@EPILOG_SECONDS@": str(math.ceil(configuration.epilog_seconds) + _BEYOND_SECONDS),
    }
    text = shipped(name).decode()
    for mark, path in filled.items():
        text = text.replace(mark, _for_unit(path))
    return text


def _for_unit(path: str) -> str:
    if not path.isascii() or any(character in path for character in " \t\n%$\"'\\;"):
        raise usage_error(f"{path!a}: expected a path without spaces, quotes, % and $ for systemd units")
    return path

"""Links to what schedulers call and load, in the directories where they look for it.

A scheduler's own configuration is never changed. What it has to say for its directory to be looked at is said where it
does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError
from datacrumbs.install import CLUSTER_STAGES
from datacrumbs.install.step import Step, by_root, removed, removed_if_empty
from datacrumbs.secure.files import check_protected, read_bounded, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from datacrumbs.system import SystemPaths

_, HOOKS_STAGE, PLUGIN_STAGE, _ = CLUSTER_STAGES
SLURM, FLUX = "etc/slurm", "etc/flux"
RELOADED = {SLURM: "slurmd.service", FLUX: "flux.service"}
"""Which unit is to read its configuration again after a change below a scheduler's directory."""


@dataclass(frozen=True, slots=True)
class HookLink:
    """One link.

    Args:
        stage: With which it is made.
        scheduler: Directory of the scheduler's configuration, without which there is none.
        place: The link, below that.
        hook: What it leads to, below the installation's configuration.
    """

    stage: str
    scheduler: str
    place: str
    hook: str


LINKS = (
    HookLink(HOOKS_STAGE, SLURM, "prolog.d/datacrumbs", "slurm/prolog"),
    HookLink(HOOKS_STAGE, SLURM, "epilog.d/datacrumbs", "slurm/epilog"),
    HookLink(HOOKS_STAGE, FLUX, "system/prolog.d/datacrumbs", "flux/prolog"),
    HookLink(HOOKS_STAGE, FLUX, "system/epilog.d/datacrumbs", "flux/epilog"),
    HookLink(HOOKS_STAGE, FLUX, "shell/lua.d/datacrumbs.lua", "flux/shell.lua"),
    HookLink(PLUGIN_STAGE, FLUX, "cli/plugins/datacrumbs.py", "flux/cli.py"),
)
_NOTE_LIMIT = 64 << 10
_SLURM_KEYS = {
    "Prolog": ("slurm/prolog", "prolog.d"),
    "Epilog": ("slurm/epilog", "epilog.d"),
    "TaskProlog": ("slurm/task_prolog", ""),
}
"""Keys of slurm.conf: the hook that each is to call, and the directory whose files it may call; Slurm takes one path
alone for some."""


def link(paths: SystemPaths, stage: str) -> Iterator[Step]:
    """Make the links of a stage, of those schedulers whose configuration is here.

    Raises:
        DatacrumbsError: (exit 1) when something else has a link's place, or what it leads to is not there; (exit 3)
            when others than root may change a directory.
    """
    wanted = [each for each in LINKS if each.stage == stage]
    for scheduler in dict.fromkeys(each.scheduler for each in wanted):
        if not (paths.prefix / scheduler).is_dir():
            yield Step("absent", str(paths.prefix / scheduler), "no such scheduler here")
            continue
        for each in wanted:
            if each.scheduler == scheduler:
                yield _linked(paths, paths.prefix / each.scheduler / each.place, paths.configuration / each.hook)
        if scheduler == SLURM:
            yield from _unset(paths)


def unlink(paths: SystemPaths, stage: str) -> Iterator[Step]:
    """Remove the links of a stage, and the directories that were made for them where nothing else is in these."""
    for each in LINKS:
        place = paths.prefix / each.scheduler / each.place
        if each.stage == stage and place.is_symlink() and place.readlink() == paths.configuration / each.hook:
            yield removed(place)
    made = _made(paths)
    for directory in _directories(paths, [each for each in LINKS if each.stage == stage]):
        if str(directory) in made and directory.is_dir():
            yield removed_if_empty(directory, "not empty")
    if made and not any(directory.is_dir() for directory in _directories(paths, LINKS) if str(directory) in made):
        yield removed(_note(paths))


def scheduler_of(paths: SystemPaths, path: str) -> str | None:
    """The directory of the scheduler whose configuration a path belongs to; None for no scheduler's."""
    return next((each for each in RELOADED if path.startswith(f"{paths.prefix / each}/")), None)


def _linked(paths: SystemPaths, place: Path, target: Path) -> Step:
    if place.is_symlink() and place.readlink() == target:
        return Step("kept", str(place))
    if place.exists() or place.is_symlink():
        raise DatacrumbsError(f"{place}: exists and is not the link to {target}", hint="move it away")

    def act() -> None:
        if not target.exists():
            raise DatacrumbsError(f"{target}: not there", hint="datacrumbs_cluster_setup --stage services makes it")
        with by_root(place, "made"):
            _make_directory(paths, place.parent)
            check_protected(place.parent)
            place.symlink_to(target)

    return Step("made", str(place), f"link to {target}", act=act)


# It is written down first, so that none is left behind.
def _make_directory(paths: SystemPaths, directory: Path) -> None:
    if not directory.exists():
        _make_directory(paths, directory.parent)
        names = sorted({*_made(paths), str(directory)})
        write_atomically(_note(paths), "".join(f"{name}\n" for name in names).encode())
        directory.mkdir(mode=0o755)


def _note(paths: SystemPaths) -> Path:
    return paths.configuration / "scheduler-directories"


def _made(paths: SystemPaths) -> list[str]:
    note = _note(paths)
    return read_bounded(note, _NOTE_LIMIT, protected=True).decode().splitlines() if note.exists() else []


# What may be in the note; those below come before those above.
def _directories(paths: SystemPaths, links: Iterable[HookLink]) -> list[Path]:
    found = {paths.prefix / each.scheduler / above for each in links for above in PurePath(each.place).parents[:-1]}
    return sorted(found, key=lambda path: (-len(path.parts), path))


# slurm.conf may be elsewhere, or on another host (configless): then nothing is known of it.
def _unset(paths: SystemPaths) -> Iterator[Step]:
    file = paths.prefix / SLURM / "slurm.conf"
    if not file.is_file():
        return
    text = file.read_text(encoding="utf-8", errors="replace")
    for key, (hook, directory) in _SLURM_KEYS.items():
        called = str(paths.configuration / hook)
        linked = str(paths.prefix / SLURM / directory / "datacrumbs")
        values = re.findall(rf"(?im)^[ \t]*{key}[ \t]*=[ \t]*(\S+)", text)
        if not any(fnmatchcase(path, value) for path in (called, linked) for value in values):
            wanted = str(paths.prefix / SLURM / directory / "*") if directory else called
            yield Step("missing", str(file), f"has no {key}={wanted}")

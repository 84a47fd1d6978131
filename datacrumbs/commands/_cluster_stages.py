"""What ``datacrumbs_cluster_setup`` does on one host; on many, it calls itself there."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands._installing import check_code, perform, public_key
from datacrumbs.commands._node_options import is_for_nodes
from datacrumbs.errors import ExitCode, refusal
from datacrumbs.install import CLUSTER_STAGES
from datacrumbs.install.scheduler_links import RELOADED, link, scheduler_of, unlink
from datacrumbs.install.step import Step, performed
from datacrumbs.install.steps import install, uninstall
from datacrumbs.output import inform
from datacrumbs.probefile.keys import KEY_FILE_LIMIT, parse_public_key
from datacrumbs.runs.launching import BOOTED, program
from datacrumbs.system import SystemPaths

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_SERVICES, *_OF_SCHEDULERS, _ALL = CLUSTER_STAGES
_UNCHANGED = {"absent", "kept", "missing"}
_GIVEN = Path("-")


def set_up(options: argparse.Namespace) -> int:
    """Set up this host, or nodes, or take that back."""
    for_nodes = is_for_nodes(options)
    key = _key(options.trust_key) if options.trust_key else None
    if for_nodes:
        from datacrumbs.commands._cluster_nodes import set_up_nodes

        return set_up_nodes(options, key)
    if os.geteuid() != 0 and options.prefix == Path("/"):
        raise refusal(
            "setting up this host needs root", "sudo datacrumbs_cluster_setup, or --prefix DIR for a private tree"
        )
    paths = SystemPaths(options.prefix.resolve())
    if options.unsetup:
        steps = _taken_back(paths, options)
    else:
        check_code(paths)
        steps = _made(paths, options, key)
    if options.dry_run:
        inform("dry run: nothing is changed")
    done = _reloading(performed(steps, dry_run=options.dry_run), paths, dry_run=options.dry_run)
    perform(done, paths, "unsetup" if options.unsetup else "setup", options)
    return int(ExitCode.DONE)


def _key(path: Path) -> Ed25519PublicKey:
    if path != _GIVEN:
        return public_key(path)
    return parse_public_key(sys.stdin.buffer.read(KEY_FILE_LIMIT), Path("standard input"))


def _wanted(options: argparse.Namespace, stage: str) -> bool:
    return options.stage in {stage, _ALL}


def _made(paths: SystemPaths, options: argparse.Namespace, key: Ed25519PublicKey | None) -> Iterator[Step]:
    if _wanted(options, _SERVICES):
        if not options.dry_run:
            paths.prefix.mkdir(parents=True, exist_ok=True)
        yield from install(paths, "compute", key)
    for stage in _OF_SCHEDULERS:
        if _wanted(options, stage):
            yield from link(paths, stage)


# Links first: from then on no job's prolog needs what is removed.
def _taken_back(paths: SystemPaths, options: argparse.Namespace) -> Iterator[Step]:
    if _wanted(options, _SERVICES) and paths.private_key.exists():
        raise refusal(
            f"{paths.private_key}: this host signs probe files, and its key would be removed",
            "leave this host out of the list, take back other stages there, or use datacrumbs_setup --uninstall",
        )
    for stage in reversed(_OF_SCHEDULERS):
        if _wanted(options, stage):
            yield from unlink(paths, stage)
    if _wanted(options, _SERVICES):
        yield from uninstall(paths)


# Processes that have read what was changed read it again.
def _reloading(steps: Iterator[Step], paths: SystemPaths, *, dry_run: bool) -> Iterator[Step]:
    units, changed = False, set()
    for step in steps:
        if step.state not in _UNCHANGED:
            units = units or "/systemd/system/" in step.what
            changed.add(scheduler_of(paths, step.what))
        yield step
    if paths.prefix != Path("/") or not BOOTED.is_dir():
        return
    if units:
        yield _reloaded("systemd", ("daemon-reload",), dry_run=dry_run)
    for scheduler, unit in RELOADED.items():
        if scheduler in changed and not _systemctl("is-active", "--quiet", unit):
            yield _reloaded(unit, ("reload", unit), dry_run=dry_run)


def _reloaded(what: str, words: tuple[str, ...], *, dry_run: bool) -> Step:
    step = Step("reloaded", what)
    if not dry_run and _systemctl(*words):
        return replace(step, state="missing", note=f"systemctl {' '.join(words)} failed: do it by hand")
    return step


def _systemctl(*words: str) -> int:
    return asyncio.run(program(("systemctl", *words)))

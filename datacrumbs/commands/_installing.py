"""What ``datacrumbs_setup`` does: it runs the steps of an installation and prints them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands._audit import audit
from datacrumbs.errors import refusal
from datacrumbs.install.rotation import prepare_rotation, rotate
from datacrumbs.install.step import performed
from datacrumbs.install.steps import install, uninstall
from datacrumbs.installed import changeable_code
from datacrumbs.output import Verbosity, inform, verbosity, warn
from datacrumbs.probefile.keys import KEY_FILE_LIMIT, parse_public_key
from datacrumbs.secure.files import read_bounded
from datacrumbs.system import SystemPaths

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from datacrumbs.install.step import Step


def setup(arguments: argparse.Namespace) -> None:
    """Run the steps and print what became of each thing."""
    if os.geteuid() != 0 and arguments.prefix == Path("/"):
        raise refusal("setting up this host needs root", "sudo datacrumbs_setup, or --prefix DIR for a private tree")
    # Units and messages name absolute places, wherever this was run.
    paths = SystemPaths(arguments.prefix.resolve())
    if arguments.uninstall:
        steps = uninstall(paths)
    elif arguments.next_key:
        steps = prepare_rotation(paths)
    elif arguments.rotate_key:
        steps = rotate(paths)
    else:
        # First: a wrong one must not leave a host half set up.
        key = public_key(arguments.trust_key) if arguments.trust_key else None
        check_code(paths)
        if not arguments.dry_run:
            arguments.prefix.mkdir(parents=True, exist_ok=True)
        steps = install(paths, arguments.stage, key)
    if arguments.dry_run:
        inform("dry run: nothing is changed")
    perform(performed(steps, dry_run=arguments.dry_run), paths, _action(arguments), arguments)


def public_key(path: Path) -> Ed25519PublicKey:
    """The key in a file that a command line names.

    Raises:
        DatacrumbsError: When it cannot be read, or (exit 3) is no such key.
    """
    return parse_public_key(read_bounded(path, KEY_FILE_LIMIT), path)


def perform(steps: Iterable[Step], paths: SystemPaths, action: str, options: argparse.Namespace) -> None:
    """Do what is to be done, note what it changed of what this host believes, and print it.

    Args:
        steps: To be done, one after the other.
        paths: The installation.
        action: What the system's log calls it.
        options: With ``dry_run``, where they are not really done, and ``json``.
    """
    done: list[Step] = []
    try:
        done.extend(steps)
    finally:
        if not options.dry_run:
            _audit_changes(paths, action, done)
        # Printed at the end: a closed pipe (`| head`) must not leave a host half set up.
        _print_steps(done, as_json=options.json)


def _action(arguments: argparse.Namespace) -> str:
    actions = {
        "uninstall": arguments.uninstall,
        "next key": arguments.next_key,
        "rotate key": arguments.rotate_key,
        "trust key": arguments.trust_key is not None,
    }
    return next((action for action, wanted in actions.items() if wanted), "setup")


# Keys, trust, policy: all that decides what this host believes is configuration.
def _audit_changes(paths: SystemPaths, action: str, done: list[Step]) -> None:
    changes = [step.what for step in done if step.state not in {"kept", "missing"}]
    changed = [what for what in changes if Path(what).is_relative_to(paths.configuration)]
    if changed:
        audit(paths, action, changed)


def check_code(paths: SystemPaths) -> None:
    """Refuse to let root's units run what others can change; in a private tree, warn.

    Raises:
        DatacrumbsError: (exit 3).
    """
    changeable = changeable_code() if os.geteuid() == 0 else None
    if changeable is None:
        return
    message = f"{changeable}: users other than root can change it, and root would run it"
    fix = "install to a place that is root's, as by sudo make install, and run datacrumbs_setup there"
    if paths.prefix == Path("/"):
        raise refusal(message, fix)
    warn(f"warning: {message}")


def _print_steps(steps: list[Step], *, as_json: bool) -> None:
    if as_json:
        rows = [{"state": step.state, "what": step.what, "note": step.note} for step in steps]
        print(json.dumps(rows, indent=2, sort_keys=True))
        return
    for step in steps:
        if step.state == "kept" and not step.note and verbosity() == Verbosity.QUIET:
            continue
        note = f"  ({step.note})" if step.note else ""
        print(f"{step.state:<8} {step.what}{note}")

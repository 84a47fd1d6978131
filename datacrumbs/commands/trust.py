"""``datacrumbs_trust``: which snippets and keys are trusted here, and what is revoked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands._command import Command, add_prefix

if TYPE_CHECKING:
    import argparse

    from datacrumbs.commands._command import Run

ACTIONS = ("add", "list", "remove", "verify", "revoke", "restore", "verify-seal")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    parser.add_argument(
        "action",
        choices=ACTIONS,
        help="verify compares snippets with what is installed now; revoke ends what was signed; restore undoes it; "
        "verify-seal shows what a node has sealed of a run, and whether files are that trace",
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="to verify-seal: the seal, then the trace")
    add = parser.add_mutually_exclusive_group().add_argument
    add("--provider", metavar="NAME", help="a provider's name")
    add("--distribution", metavar="NAME", help="a distribution's name")
    add("--key", metavar="KEY", help="to add: a public key's .pem; else its id, or the id's beginning")
    add("--plan", metavar="DIGEST", help="to revoke: one plan, as --show and traces give it")
    add("--snippet", metavar="SHA256", help="to revoke: one snippet's text")
    add("--target", help="to revoke: a path or pattern of paths, a build-id, or `kernel`")
    add("--symbol", help="to revoke: a function's name, BUILD-ID:0xOFFSET, or syscall:NUMBER")
    add("--user", metavar="NAME", help="to revoke: all grants that this user has by now")
    add("--keys", action="store_true", help="to list: public keys")
    add("--revoked", action="store_true", help="to list: what was revoked")
    add_prefix(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _load() -> Run:
    from datacrumbs.commands._trust_actions import trust

    return trust


COMMAND = Command(
    name="trust",
    summary="Say which providers' C snippets may run in the kernel, whose signatures are valid, and what is revoked.",
    description="Snippets are recorded by digest and version: read a provider's snippets/*.bpf.c before you add it.",
    examples=(
        "datacrumbs_trust add --provider posix",
        "datacrumbs_trust add --key login1.pem",
        "datacrumbs_trust revoke --user alice",
        "datacrumbs_trust verify-seal RUN.seal.json TRACE.pfw.gz",
    ),
    arguments=arguments,
    load=_load,
)

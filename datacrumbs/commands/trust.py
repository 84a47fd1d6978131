"""``datacrumbs_trust``: which snippets and keys are trusted here, and what is revoked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands._command import Command, add_dry_run, add_json, add_prefix, add_shared

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

ACTIONS = {
    "add": "trust an installed provider's snippets, or a signing host's key",
    "list": "print what is trusted: snippets, or keys, or what is revoked",
    "remove": "stop trusting snippets or a key; what a removed key signed is refused",
    "verify": "compare the trusted snippets with those installed now; exit 1 if an installed one is not trusted",
    "revoke": "refuse what was signed before, here and in runs that start later",
    "restore": "take back a revocation",
    "verify-seal": "print what a node's seal says of a run, and compare files with that trace",
}
_VALUED = {
    "--provider": ("NAME", "a provider"),
    "--distribution": ("NAME", "all providers of a distribution"),
    "--key": ("KEY", "a key's id, or the beginning of one"),
    "--plan": ("DIGEST", "a plan, by the digest that --show and traces print"),
    "--snippet": ("SHA256", "a snippet, by the digest of its text"),
    "--target": ("TARGET", "a path, a pattern of paths, a build-id, or `kernel`"),
    "--symbol": ("SYMBOL", "a function's name, BUILD-ID:0xOFFSET, or syscall:NUMBER"),
    "--user": ("NAME", "all grants that this user has now; later ones hold"),
}
_PROVIDERS = ("--provider", "--distribution")
_REVOCABLE = ("--key", "--plan", "--snippet", "--provider", "--target", "--symbol", "--user")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    add_json(parser)
    add_prefix(parser)
    parser.set_defaults(
        **{option.removeprefix("--"): None for option in _VALUED}, keys=False, revoked=False, dry_run=False
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", title="actions")
    made = {
        name: actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        for name, text in ACTIONS.items()
    }
    _one_of(made["add"], _PROVIDERS, required=True).add_argument("--key", metavar="PEM", help="a public key file")
    listed = _one_of(made["list"], _PROVIDERS)
    listed.add_argument("--keys", action="store_true", help="the public keys")
    listed.add_argument("--revoked", action="store_true", help="what is revoked")
    _one_of(made["remove"], (*_PROVIDERS, "--key"), required=True)
    _one_of(made["verify"], _PROVIDERS)
    for name in ("revoke", "restore"):
        _one_of(made[name], _REVOCABLE, required=True)
    made["verify-seal"].add_argument("seal", type=Path, metavar="SEAL", help="the seal of a run")
    made["verify-seal"].add_argument(
        "traces", nargs="*", type=Path, metavar="TRACE", help="a file of its trace, or a directory"
    )
    for name, action in made.items():
        if name in {"add", "remove", "revoke", "restore"}:
            add_dry_run(action)
        add_json(action, again=True)
        add_prefix(action, again=True)
        add_shared(action, again=True)


def _one_of(
    parser: argparse.ArgumentParser, options: Sequence[str], *, required: bool = False
) -> argparse._MutuallyExclusiveGroup:
    group = parser.add_mutually_exclusive_group(required=required)
    for option in options:
        metavar, text = _VALUED[option]
        group.add_argument(option, metavar=metavar, help=text)
    return group


def action_first(words: Sequence[str]) -> list[str]:
    """The command line with its action first: before there were sub-commands, it could be anywhere."""
    position = 0
    while position < len(words):
        word = words[position]
        if word in {"-V", "--version"}:
            break
        if word in ACTIONS:
            return [word, *words[:position], *words[position + 1 :]]
        # Options may be abbreviated, as argparse allows it.
        valued = (*_VALUED, "--prefix")
        takes_value = word.startswith("--") and word not in {"--", "--keys"} and "=" not in word
        position += 2 if takes_value and any(option.startswith(word) for option in valued) else 1
    return list(words)


COMMAND = Command(
    name="trust",
    summary="Change or list which providers' snippets may run in the kernel, whose signatures are valid, and what is "
    "revoked.",
    description="Snippets are recorded by digest and version: read a provider's snippets/*.bpf.c before you add it.",
    examples=(
        "datacrumbs_trust add --provider posix",
        "datacrumbs_trust add --key login1.pem",
        "datacrumbs_trust revoke --user alice --dry-run",
        "datacrumbs_trust verify-seal RUN.seal.json TRACE.pfw.gz",
    ),
    arguments=arguments,
    work="_trust_actions:trust",
    section=8,
    reordered=action_first,
)

"""The completion of all commands as one script: what is installed is one file for each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.installed import installed

if TYPE_CHECKING:
    import argparse

_BASH, _ZSH = Path("share/bash-completion/completions"), Path("share/zsh/site-functions")
# Distributions have another directory for their packages' functions.
_ZSH_OF_PACKAGES = Path("share/zsh/vendor-completions")


def print_completion(options: argparse.Namespace) -> None:
    """Print it.

    Raises:
        DatacrumbsError: (exit 1) when the installation lacks it.
    """
    if options.shell == "bash":
        files = _files(installed("data", _BASH / "datacrumbs").parent, "datacrumbs*")
        print("\n".join(file.read_text(encoding="utf-8") for file in files), end="")
        return
    files = _files(installed("data", _ZSH / "_datacrumbs", _ZSH_OF_PACKAGES / "_datacrumbs").parent, "_datacrumbs*")
    print("\n".join(_function(file) for file in files), end="")


def _files(directory: Path, pattern: str) -> list[Path]:
    return sorted(directory.glob(pattern))


# As zsh makes it of the file when it loads it by itself.
def _function(file: Path) -> str:
    body = file.read_text(encoding="utf-8")
    return f"{file.name}() {{\n{body}}}\ncompdef {file.name} {file.name.removeprefix('_')}\n"

"""C text to a bcc module, without letting a bad program take the daemon down.

Some errors inside clang end the whole process (an assertion, a stack over 512 bytes) before any
``except`` runs. So a program that was never compiled on this host is compiled in a child first.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from datacrumbs.errors import DatacrumbsError

if TYPE_CHECKING:
    from pathlib import Path

_HEADERS_HINT = (
    "kernel headers are missing: install linux-headers for this kernel (kernel-devel on the RHEL family), "
    "or link /lib/modules/$(uname -r)/build to headers of a near version; datacrumbs_doctor checks"
)


def load_bcc() -> Any:
    """The class ``bcc.BPF``.

    Raises:
        DatacrumbsError: (exit 1) when the system's bcc is not importable.

    """
    try:
        from bcc import BPF  # noqa: PLC0415 - only the engine needs bcc, and only when it runs
    except ImportError:
        raise DatacrumbsError(
            "bcc is not importable by this Python",
            hint="install the system package python3-bpfcc (python3-bcc on the RHEL family) "
            "and use a virtual environment with system site packages; the Python index's `bcc` is another project",
        ) from None
    return BPF


def compile_program(text: str, flags: list[str], checked: Path) -> Any:
    """Compile; programs that are new to this host in a child process first.

    Args:
        text: The C program.
        flags: Compiler flags.
        checked: Directory that remembers, by digest, which programs compiled.

    Raises:
        DatacrumbsError: (exit 1) with the compiler's words.

    """
    bpf = load_bcc()
    _require_headers()
    digest = hashlib.sha256(json.dumps([text, flags, os.uname().release]).encode()).hexdigest()
    if not (checked / digest).exists():
        _compile_in_child(text, flags)
        with suppress(OSError):  # without room there the next start tries again
            checked.mkdir(mode=0o755, parents=True, exist_ok=True)
            (checked / digest).touch()
    try:
        return bpf(text=text.encode(), cflags=flags)
    except Exception as error:  # noqa: BLE001 - bcc raises plain Exception
        raise DatacrumbsError(f"the probe program does not compile: {error}", hint=_HEADERS_HINT) from None


def _require_headers() -> None:
    build = f"/lib/modules/{os.uname().release}/build"
    if not os.path.isdir(build) and not os.path.exists("/sys/kernel/kheaders.tar.xz"):  # noqa: PTH110, PTH112 - os.uname paths
        raise DatacrumbsError(f"{build}: no kernel headers", hint=_HEADERS_HINT)


def _compile_in_child(text: str, flags: list[str]) -> None:
    child = subprocess.run(
        [sys.executable, "-I", "-m", "datacrumbs.engine.compiler", *flags],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    if child.returncode:
        words = child.stderr.decode(errors="replace").strip()[-4000:]
        raise DatacrumbsError(
            f"the probe program does not compile (compiler exit {child.returncode}):\n{words}",
            hint="a snippet may be wrong, or " + _HEADERS_HINT,
        )


if __name__ == "__main__":
    load_bcc()(text=sys.stdin.buffer.read(), cflags=sys.argv[1:])

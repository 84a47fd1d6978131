"""A munged of a test's own: its key, its socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY_BYTES = 128


@contextmanager
def munged(key: bytes = b"") -> Iterator[Path]:
    """Run munged with a key, or one of its own; gives its socket, which all users can reach."""
    program = shutil.which("munged", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or os.geteuid() != 0:
        pytest.skip("needs munged, and root to be several users")
    directory = Path(tempfile.mkdtemp(prefix="datacrumbs-munged-"))
    directory.chmod(0o755)
    (directory / "key").write_bytes(key or os.urandom(KEY_BYTES))
    (directory / "key").chmod(0o400)
    files = [f"--{name}-file={directory / name}" for name in ("key", "pid", "seed")]
    command = [program, "--foreground", f"--socket={directory / 'socket'}", f"--log-file={directory / 'log'}", *files]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            # It says so when it answers; then it writes no more than the pipe holds.
            said = iter(process.stderr)
            assert any("work threads" in line for line in said), "munged did not start"
            yield directory / "socket"
        finally:
            process.kill()  # it misses a signal to end that comes just before it waits for the next request
            process.wait(300)
            shutil.rmtree(directory)

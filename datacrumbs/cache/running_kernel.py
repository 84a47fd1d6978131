"""What identifies the running kernel."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_NOTES, _MODULES = Path("/sys/kernel/notes"), Path("/proc/modules")  # the notes hold the kernel's build-id


def kernel_state() -> list[object]:
    """What identifies the running kernel and its modules, and whether all of their information can be read."""
    system = os.uname()
    texts = [path.read_bytes() if os.access(path, os.R_OK) else b"" for path in (_NOTES, _MODULES)]
    modules = sorted(line.split(maxsplit=1)[0] for line in texts[1].decode(errors="replace").splitlines() if line)
    identity = hashlib.sha256(texts[0] + "\n".join(modules).encode()).hexdigest()
    return [system.release, system.version, system.machine, identity, os.geteuid() == 0]

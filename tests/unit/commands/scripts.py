"""The installed scripts, as users call them."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from importlib.metadata import distribution
from pathlib import Path

SCRIPTS = Path(sysconfig.get_path("scripts"))
COMMANDS = sorted(entry.name for entry in distribution("datacrumbs").entry_points.select(group="console_scripts"))
LAUNCHER = "datacrumbs_wrap"  # a C program, installed beside them
SECONDS = 300


def run(command: str, *arguments: object, **options) -> subprocess.CompletedProcess[str]:
    options = {"capture_output": True, "text": True, "timeout": SECONDS, "errors": "surrogateescape"} | options
    options["env"] = os.environ | options.get("env", {})
    return subprocess.run([SCRIPTS / command, *map(str, arguments)], check=False, **options)

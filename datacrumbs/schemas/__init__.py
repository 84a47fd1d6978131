"""The forms of what commands print with ``--json``, as JSON Schemas: one file each, named by the command."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

NAMES = ("report", "top", "list", "doctor", "probe_configurator", "run", "setup", "trust")


def schema(name: str) -> dict[str, Any]:
    """The schema of a command's JSON, one of `NAMES`."""
    text = resources.files(__name__).joinpath(f"{name}.schema.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document

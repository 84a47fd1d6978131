"""What ``datacrumbs_report`` prints, and files that traces of several tests are about."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from datacrumbs.commands.report import COMMAND

if TYPE_CHECKING:
    import pytest

FILES = {
    "f1": "/data/run1/out.0001.h5",
    "f2": "/data/run1/out.0002.h5",
    "f3": "/data/run2/out.0003.h5",
    "f4": "/usr/lib/libm.so.6",
    "f5": "pipe:[11]",
    "f6": "/top",
}
"""Hash in a trace -> path."""


def text_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What the report prints."""
    capsys.readouterr()
    assert COMMAND.run([*map(str, arguments)]) == 0
    return capsys.readouterr().out


def data_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """The report as a document."""
    document: dict[str, Any] = json.loads(text_of(capsys, *arguments, "--json"))
    return document


def rows_of(capsys: pytest.CaptureFixture[str], name: str, *arguments: object) -> list[dict[str, Any]]:
    """The rows of one of its tables."""
    return list(data_of(capsys, *arguments)[name])

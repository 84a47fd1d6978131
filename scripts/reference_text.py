"""Markdown of the reference pages: tables, and what docstrings and dataclasses say."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTICE = "<!-- Written by scripts/docs.py from the code; do not edit. -->"


def page(title: str, *parts: str) -> str:
    """A page from its parts."""
    return "\n\n".join([NOTICE, f"# {title}", *(part.strip() for part in parts if part.strip())]) + "\n"


def table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table of cells that may hold anything but line breaks."""
    headings = list(headings)
    lines = [headings, ["---"] * len(headings), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def code(value: object) -> str:
    """Text as code, with the reST marks of docstrings made Markdown's."""
    return f"`{value}`"


def prose(text: str) -> str:
    """A docstring's text as Markdown."""
    return text.replace("``", "`")


def arguments(text: str) -> dict[str, str]:
    """Name -> meaning, from the body of an "Args:" block."""
    found: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(text).splitlines():
        match = re.fullmatch(r"(\w+): (.*)", line)
        if match:
            name = match[1]
            found[name] = match[2]
        elif line.strip():
            found[name] += f" {line.strip()}"
    return {name: prose(meaning) for name, meaning in found.items()}


def described_type(described: type) -> tuple[str, dict[str, str]]:
    """What a class's docstring says of it, and of each of its fields."""
    text = inspect.getdoc(described) or ""
    before, _, after = text.partition("Args:\n")
    return prose(before).strip(), arguments(after) if after else {}


def default(field: dataclasses.Field[Any]) -> str:
    """The default of a dataclass's field."""
    if field.default is dataclasses.MISSING:
        return "required" if field.default_factory is dataclasses.MISSING else code(field.default_factory())
    value = field.default
    return code(f"{type(value).__name__}.{value.name}" if isinstance(value, enum.Enum) else repr(value))

"""The page of the hooks and of everything that they return."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
from typing import TYPE_CHECKING

from reference_text import arguments, code, default, described_type, page, prose, table

from datacrumbs import provider
from datacrumbs.plugins import hookspecs

if TYPE_CHECKING:
    from collections.abc import Callable


def hooks_page() -> str:
    """The hooks and everything that they return."""
    names = [name for name in vars(hookspecs) if name.startswith("datacrumbs_")]
    intro = (
        f"A provider is a distribution with an entry point in the group `{provider.ENTRY_POINT_GROUP}` that names a "
        "module. [Write a provider](../write-a-provider.md) shows a whole one."
    )
    parts = [intro, inspect.getdoc(hookspecs) or ""]
    parts += [_hook(name, getattr(hookspecs, name)) for name in names]
    parts.append("## What the hooks take and return")
    given = [getattr(provider, name) for name in sorted(provider.__all__)]
    parts += [_dataclass(each) for each in given if isinstance(each, type) and dataclasses.is_dataclass(each)]
    parts += [_enumeration(each) for each in given if isinstance(each, type) and issubclass(each, enum.Enum)]
    return page("Hooks", *parts)


def _hook(name: str, function: Callable[..., object]) -> str:
    signature = inspect.signature(function)
    shown = f"```python\ndef {name}{str(signature).replace(chr(39), '')}\n```"
    return f"## {name}\n\n{shown}\n\n{_docstring(function)}"


def _docstring(described: object) -> str:
    # Google style: "Args:" becomes a list, "Example::" a block of code.
    text = inspect.getdoc(described) or ""
    blocks = re.split(r"\n(?=Args:\n|Example::\n|Raises:\n|Returns:\n)", text)
    written = []
    for block in blocks:
        head, _, rest = block.partition("\n")
        if head in {"Args:", "Raises:"}:
            items = arguments(rest).items()
            listed = "\n".join(f"* `{name}`: {meaning}" for name, meaning in items)
            written.append(listed if head == "Args:" else f"Raises:\n\n{listed}")
        elif head == "Returns:":
            written.append(f"Returns: {prose(' '.join(rest.split()))}")
        elif head == "Example::":
            written.append(f"```python\n{inspect.cleandoc(rest)}\n```")
        else:
            written.append(prose(block).strip())
    return "\n\n".join(written)


def _dataclass(described: type) -> str:
    text, meanings = described_type(described)
    rows = [
        (code(field.name), code(field.type), default(field), meanings.get(field.name, ""))
        for field in dataclasses.fields(described)
    ]
    return f"### {described.__name__}\n\n{text}\n\n{table(('field', 'type', 'default', 'meaning'), rows)}"


def _enumeration(described: type[enum.Enum]) -> str:
    text = re.sub(r"^([A-Z_]+): ", r"* \1: ", described_type(described)[0], flags=re.MULTILINE)
    members = ", ".join(code(member.value) for member in described)
    return f"### {described.__name__}\n\n{text}\n\nValues: {members}."

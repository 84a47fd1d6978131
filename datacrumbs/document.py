"""A YAML file as values that know their line, so that every complaint can name it."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

import yaml

from datacrumbs.errors import DatacrumbsError, usage_error

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

SIZE_LIMIT = 1 << 20
"""Bytes of a file; the largest known site file has 3 KiB."""
VALUE_LIMIT = 20_000
"""Values of a document with its aliases followed, so that nested aliases cannot blow up."""
DEPTH_LIMIT = 32

SCALAR_PROBLEMS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
"""What PyYAML lets through from making a value of what is none: ``!!int ''``, ``!!bool x``, ``!!timestamp x``."""

_PLACEHOLDER = re.compile(r"@([A-Z][A-Z0-9_]*)@")

_TAG = "tag:yaml.org,2002:"
_TAGS = frozenset({"map", "seq", "str", "int", "float", "bool", "null", "timestamp"})

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the document and where it stands.

    Args:
        file: The document.
        line: Line of the value, from 1.
        key: Path of keys to it (``capture_probes[2].regex``); empty for the document itself.
        content: A scalar, a list of values, or a mapping of keys to values.
    """

    file: Path
    line: int
    key: str
    content: Scalar | list[Value] | dict[str, Value]

    def fail(self, problem: str, expected: str = "", hint: str = "") -> NoReturn:
        """Raise the error ``FILE:LINE: KEY: problem; expected ...`` (exit 2)."""
        raise self.error(problem, expected, hint)

    def error(self, problem: str, expected: str = "", hint: str = "") -> DatacrumbsError:
        """The error that `fail` raises."""
        return usage_error(self.message(problem, expected), hint)

    def message(self, problem: str, expected: str = "") -> str:
        """``FILE:LINE: KEY: problem; expected ...``."""
        where = f"{self.file}:{self.line}: " + (f"{self.key}: " if self.key else "")
        return where + problem + (f"; expected {expected}" if expected else "")

    def mapping(self, known: Collection[str] | None = None) -> dict[str, Value]:
        """The value as a mapping whose keys are all ``known`` (None: any)."""
        if not isinstance(self.content, dict):
            self.fail(f"{self.shown} is not a mapping", "`key: value` lines")
        for key, value in self.content.items():
            if known is not None and key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                meant = f"; did you mean {close[0]!r}?" if close else ""
                value.fail(f"unknown key{meant}", f"one of {', '.join(sorted(known))}")
        return self.content

    def items(self) -> list[Value]:
        """The value as a list."""
        if not isinstance(self.content, list):
            self.fail(f"{self.shown} is not a list", "`- ` items")
        return self.content

    def text(self) -> str:
        """The value as a string that is not empty and is printable."""
        if not isinstance(self.content, str):
            self.fail(f"{self.shown} is not a string", "a string; quote it if it looks like something else")
        if not self.content or not self.content.isprintable():
            self.fail(f"{self.content!r} is empty or has control characters", "a printable string")
        return self.content

    def boolean(self) -> bool:
        """The value as true or false."""
        if not isinstance(self.content, bool):
            self.fail(f"{self.shown} is not a boolean", "true or false")
        return self.content

    def choice(self, choices: Collection[str]) -> str:
        """The value as one of ``choices``."""
        text = self.text()
        if text not in choices:
            close = difflib.get_close_matches(text, choices, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            self.fail(f"{text!r} is not known{meant}", f"one of {', '.join(choices)}")
        return text

    @property
    def plain(self) -> object:
        """The value as plain Python, for a provider's options."""
        if isinstance(self.content, list):
            return [item.plain for item in self.content]
        if isinstance(self.content, dict):
            return {key: item.plain for key, item in self.content.items()}
        return self.content

    @property
    def shown(self) -> str:
        """The value in an error message, short."""
        if isinstance(self.content, dict):
            return "a mapping"
        if isinstance(self.content, list):
            return "a list"
        return "nothing" if self.content is None else repr(self.content)[:80]


def read_document(file: Path) -> Value:
    """Read a YAML file; an empty one is an empty mapping.

    Raises:
        DatacrumbsError: (exit 2) when it cannot be read, is too large, is not YAML, has a key twice, or its
            aliases expand without end. Each names the file and, where there is one, the line.
    """
    text = _read(file)
    try:
        loader = yaml.SafeLoader(text)  # looks for control characters at once
        node = loader.get_single_node()
        if node is None:
            return Value(file, 1, "", {})
        return _Reader(file, loader).value(node, "", 0)
    except yaml.YAMLError as error:
        raise _yaml_error(file, text, error) from None
    except RecursionError:
        raise usage_error(f"{file}: nested too deeply; expected at most {DEPTH_LIMIT} levels") from None


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(SIZE_LIMIT + 1)
        if len(data) > SIZE_LIMIT:
            raise usage_error(f"{file}: larger than {SIZE_LIMIT} bytes; expected a configuration file")
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise usage_error(f"{file}: not UTF-8 text: {error}; expected YAML") from None
    except OSError as error:
        raise usage_error(f"{file}: cannot be read: {error.strerror or error}") from None


def _yaml_error(file: Path, text: str, error: yaml.YAMLError) -> DatacrumbsError:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    problem = getattr(error, "problem", None) or str(error)
    lines = text.splitlines()
    placeholder = _PLACEHOLDER.search(lines[line - 1]) if line <= len(lines) else None
    if placeholder:
        return usage_error(
            f"{file}:{line}: the placeholder {placeholder[0]} of a template was never filled in; expected a value",
            "write the path that it stands for, or use the installed file instead of the template",
        )
    return usage_error(f"{file}:{line}: not valid YAML: {problem}; expected `key: value` lines and `- ` items")


class _Reader:
    # Walks the node graph by itself: the safe constructor would drop the lines, let a later
    # duplicate of a key win, and follow aliases without bound.

    def __init__(self, file: Path, loader: yaml.SafeLoader) -> None:
        self._file, self._loader, self._count = file, loader, 0

    def value(self, node: yaml.Node, key: str, depth: int) -> Value:
        self._count += 1
        line = node.start_mark.line + 1
        here = Value(self._file, line, key, None)
        if self._count > VALUE_LIMIT:
            here.fail(f"more than {VALUE_LIMIT} values with aliases followed", "a configuration file")
        if depth > DEPTH_LIMIT:
            here.fail(f"nested more than {DEPTH_LIMIT} levels deep", "a configuration file")
        if node.tag.removeprefix(_TAG) not in _TAGS:
            here.fail(f"the tag {node.tag.removeprefix(_TAG)!r} is not allowed", "plain YAML")
        if isinstance(node, yaml.MappingNode):
            return Value(self._file, line, key, self._mapping(node, key, depth))
        if isinstance(node, yaml.SequenceNode):
            items = [self.value(item, f"{key}[{index}]", depth + 1) for index, item in enumerate(node.value)]
            return Value(self._file, line, key, items)
        try:
            scalar = self._loader.construct_object(node)
        except SCALAR_PROBLEMS as error:  # !!int of what is no number
            here.fail(f"not what its tag says: {error}", "plain YAML")
        if not isinstance(scalar, (str, int, float, bool, type(None))):
            scalar = node.value  # a date is a string to us
        if isinstance(scalar, str) and (placeholder := _PLACEHOLDER.search(scalar)):
            here.fail(f"the placeholder {placeholder[0]} of a template was never filled in", "a value")
        return Value(self._file, line, key, scalar)

    def _mapping(self, node: yaml.MappingNode, key: str, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for name_node, value_node in node.value:
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else None
            here = Value(self._file, name_node.start_mark.line + 1, key, None)
            if name is None:
                here.fail("a key is not a plain word", "`key: value` lines")
            path = f"{key}.{name}" if key else name
            value = self.value(value_node, path, depth + 1)
            if name in found:
                Value(self._file, here.line, path, None).fail(
                    f"the key is there twice, first in line {found[name].line}"
                )
            found[name] = replace(value, line=here.line)  # where people look for a key
        return found

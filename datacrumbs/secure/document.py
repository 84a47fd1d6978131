"""A YAML file as values that know their line, so that every complaint can name it.

The one reader of all YAML: what root believes (policy, trust list, revocations, system configuration) and site files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

import yaml

from datacrumbs.errors import DatacrumbsError, did_you_mean, usage_error
from datacrumbs.secure.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

SIZE_LIMIT = 1 << 20
"""Bytes of a file; the largest known site file has 3 KiB."""
DEPTH_LIMIT = 32
NUMBER_LIMIT = 64
"""Characters of a number."""
_TOO_DEEP = (f"nested more than {DEPTH_LIMIT} levels deep", "a configuration file")

SCALAR_PROBLEMS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
"""What PyYAML lets through from making a value of what is none: ``!!int ''``, ``!!bool x``, ``!!timestamp x``."""

_PLACEHOLDER = re.compile(r"@([A-Z][A-Z0-9_]*)@")

_TAG = "tag:yaml.org,2002:"
_TAGS = frozenset({"map", "seq", "str", "int", "float", "bool", "null", "timestamp"})
_NUMBERS = frozenset({"int", "float"})

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """How large a document may be.

    Args:
        size: Bytes of the file.
        values: Values with aliases followed, so that nested aliases cannot blow up.
    """

    size: int = SIZE_LIMIT
    values: int = 20_000


LISTS = DocumentLimits(4 << 20, 200_000)
"""Of lists of digests, which DataCrumbs writes itself: an entry has at least 64 bytes, or five values."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the document and its place.

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

    def mapping(self, known: Collection[str] | None = None, required: Iterable[str] = ()) -> dict[str, Value]:
        """The value as a mapping whose keys are all ``known`` (None: any) and which has the ``required`` ones."""
        if not isinstance(self.content, dict):
            self.fail(f"{self.shown} is not a mapping", "`key: value` lines")
        for key, value in self.content.items():
            if known is not None and key not in known:
                value.fail(f"unknown key{did_you_mean(key, known)}", f"one of {', '.join(sorted(known))}")
        for key in required:
            if key not in self.content:
                self.fail(f"the key `{key}` is missing", f"`{key}: ...`")
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

    def number(self) -> int:
        """The value as a positive whole number."""
        if isinstance(self.content, bool) or not isinstance(self.content, int) or self.content < 1:
            self.fail(f"{self.shown} is not a positive whole number", "1, 2, 3, ...")
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
            self.fail(f"{text!r} is not known{did_you_mean(text, choices)}", f"one of {', '.join(choices)}")
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


def read_document(file: Path, *, protected: bool = False, limits: DocumentLimits | None = None) -> Value:
    """Read a YAML file; an empty one is an empty mapping.

    Args:
        file: The file.
        protected: Whether only the administrator may be able to change it (see `check_protected`); then a link is
            refused, too. Both are judged on the opened file.
        limits: How large it may be; None for a configuration file.

    Raises:
        DatacrumbsError: (exit 2) when it is missing, is not YAML, has a key twice, or its aliases expand without end:
            each names the file and, where it has one, the line. (exit 3) when it is too large, no regular file, or
            others may change it. (exit 1) when it cannot be read.
    """
    limits = limits or DocumentLimits()
    data = read_bounded(file, limits.size, protected=protected, follow=not protected)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise usage_error(f"{file}: not UTF-8 text: {error}; expected YAML") from None
    try:
        _check_depth(file, text)
        loader = yaml.CSafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return Value(file, 1, "", {})
        return _Reader(file, loader, limits.values).value(node, "", 0)
    except yaml.YAMLError as error:
        raise _yaml_error(file, text, error) from None


def read_document_if_present(file: Path, *, limits: DocumentLimits | None = None) -> Value | None:
    """A protected file's document, as `read_document` gives it; None when the file does not exist.

    Raises:
        DatacrumbsError: As `read_document`; (exit 1) when it cannot be seen whether the file exists.
    """
    try:
        file.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatacrumbsError(f"{file}: cannot be read: {error.strerror}") from None
    return read_document(file, protected=True, limits=limits)


# libyaml's composer recurses in C without a bound: deep nesting would end the process.
def _check_depth(file: Path, text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_LIMIT + 1:
            Value(file, event.start_mark.line + 1 if event.start_mark else 1, "", None).fail(*_TOO_DEEP)


def _yaml_error(file: Path, text: str, error: yaml.YAMLError) -> DatacrumbsError:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    problem = getattr(error, "problem", None) or str(error)
    lines = text.splitlines()
    placeholder = _PLACEHOLDER.search(lines[line - 1]) if line <= len(lines) else None
    if placeholder:
        return usage_error(
            f"{file}:{line}: the placeholder {placeholder[0]} of a template was never filled in; expected a value",
            "replace it with the path, or use the installed file instead of the template",
        )
    return usage_error(f"{file}:{line}: not valid YAML: {problem}; expected `key: value` lines and `- ` items")


class _Reader:
    # Walks the node graph by itself: the safe constructor would drop the lines, let a later
    # duplicate of a key win, and follow aliases without bound.

    def __init__(self, file: Path, loader: yaml.CSafeLoader, limit: int) -> None:
        self._file, self._loader, self._limit, self._count = file, loader, limit, 0

    def value(self, node: yaml.Node, key: str, depth: int) -> Value:
        self._count += 1
        line = node.start_mark.line + 1
        here = Value(self._file, line, key, None)
        if self._count > self._limit:
            here.fail(f"more than {self._limit} values with aliases followed", "a configuration file")
        if depth > DEPTH_LIMIT:
            here.fail(*_TOO_DEEP)
        if node.tag.removeprefix(_TAG) not in _TAGS:
            here.fail(f"the tag {node.tag.removeprefix(_TAG)!r} is not allowed", "plain YAML")
        if isinstance(node, yaml.MappingNode):
            return Value(self._file, line, key, self._mapping(node, key, depth))
        if isinstance(node, yaml.SequenceNode):
            items = [self.value(item, f"{key}[{index}]", depth + 1) for index, item in enumerate(node.value)]
            return Value(self._file, line, key, items)
        try:
            scalar = node.value if self._is_text(node, here) else self._loader.construct_object(node)
        except SCALAR_PROBLEMS as error:  # !!int of what is no number
            here.fail(f"not what its tag says: {error}", "plain YAML")
        if not isinstance(scalar, (str, int, float, bool, type(None))):
            scalar = node.value  # a date is a string to us
        if isinstance(scalar, str) and (placeholder := _PLACEHOLDER.search(scalar)):
            here.fail(f"the placeholder {placeholder[0]} of a template was never filled in", "a value")
        return Value(self._file, line, key, scalar)

    # Numbers of base 60 (`1:20`) are text, as in YAML 1.2: PyYAML takes quadratic time for them.
    def _is_text(self, node: yaml.Node, here: Value) -> bool:
        if node.tag.removeprefix(_TAG) not in _NUMBERS:
            return False
        is_text = ":" in node.value
        if not is_text and len(node.value) > NUMBER_LIMIT:
            here.fail(f"a number of {len(node.value)} characters", f"at most {NUMBER_LIMIT}; quote it if it is text")
        return is_text

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
                    f"the key appears twice, first on line {found[name].line}"
                )
            found[name] = replace(value, line=here.line)  # where people look for a key
        return found

"""Arguments of functions from a C header, as the machine's C compiler understands it.

The compiler's debug information gives types, sizes and registers; the preprocessed text gives the
parameters' names, which debug information leaves out of declarations.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.cache.analysis_cache import arguments_of, cached, rows_of
from datacrumbs.cache.inspected_files import explained, looked_at
from datacrumbs.elf.asked_programs import ask
from datacrumbs.elf.build_id import file_state
from datacrumbs.elf.dwarf import function_parameters, register_arguments

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from datacrumbs.model.plan import Argument

_ATTEMPTS = 3
_UNDECLARED = re.compile(r"'(\w+)' undeclared|use of undeclared identifier '(\w+)'")
_FILE_LINE = re.compile(r'^# \d+ "([^"\n]+)"', re.MULTILINE)
_TYPE_WORDS = frozenset(
    {"void", "char", "short", "int", "long", "float", "double", "signed", "unsigned", "const", "volatile"}
    | {"restrict", "__restrict", "_Bool", "bool", "struct", "union", "enum", "size_t", "ssize_t"}
)


def header_arguments(
    header: Path, names: Iterable[str], include_dirs: Sequence[Path] = ()
) -> Mapping[str, tuple[Argument, ...]]:
    """The register arguments of functions that a header declares.

    Args:
        header: The header, by its absolute path (or ``stdio.h`` as ``#include <...>`` finds it).
        names: Functions wanted; those that the header does not declare are left out.
        include_dirs: Further folders for what the header includes; its own folder is always searched.

    Returns:
        Name -> arguments, at most 6. Empty when there is no header, no C compiler, or one that does not
        describe declarations in its debug information (clang): functions then have no argument specs.

    Raises:
        NoAnswerError: (exit 1) The compiler was not ready in time.
    """
    folders = tuple(dict.fromkeys([*([header.parent] if header.is_absolute() else []), *include_dirs]))
    return _header_arguments(header, tuple(sorted(set(names))), folders)


@lru_cache(maxsize=32)
def _header_arguments(
    header: Path, names: tuple[str, ...], folders: tuple[Path, ...]
) -> dict[str, tuple[Argument, ...]]:
    compiler = _compiler()
    looked_at(header, *folders)
    if not compiler or (header.is_absolute() and not header.is_file()):
        return {}
    command = [compiler, "-x", "c", "-D_GNU_SOURCE", *(f"-I{folder}" for folder in folders)]
    include = f'#include "{header}"\n' if header.is_absolute() else f"#include <{header}>\n"
    text = _preprocessed(command, include)
    # The text is all that the header and what it includes say, whatever their files are called.
    described = [hashlib.sha256(text.encode()).hexdigest(), file_state(Path(compiler)), include, command, names]
    rows = cached("headers", described, lambda: _described(command, include, text, names))
    return {name: arguments_of(found) for name, found in rows.items()}


# Without the lines that say which file follows.
def _preprocessed(command: list[str], include: str) -> str:
    text = _run([*command, "-E", "-"], include).stdout
    looked_at(*(name for name in set(_FILE_LINE.findall(text)) if not name.startswith("<")))
    return re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)


def _described(command: list[str], include: str, text: str, names: tuple[str, ...]) -> dict[str, list[list[object]]]:
    declared = [name for name in names if name in _openings(text)]
    if not declared:
        return {}
    labels = {name: parameter_names(text, name) for name in declared}
    with tempfile.TemporaryDirectory(prefix="datacrumbs-") as folder:
        described = Path(folder) / "described.o"
        if not _compile(command, include, declared, described):
            return {}
        found: dict[str, list[list[object]]] = {}
        for name, parameters in function_parameters(described):
            if name not in labels:
                continue
            texts = labels[name] if len(labels[name]) == len(parameters) else [""] * len(parameters)
            named = [replace(item, name=item.name or label) for item, label in zip(parameters, texts, strict=True)]
            found[name] = rows_of(register_arguments(named))
    return found


def _compile(command: list[str], include: str, declared: list[str], output: Path) -> bool:
    # A reference to each function makes the compiler describe it. What appears in the text but is no
    # declaration (a call within an inline function) is taken out as the compiler complains.
    for _attempt in range(_ATTEMPTS):
        references = ", ".join(f"(void *){name}" for name in declared)
        done = _run(
            [*command, "-g", "-O0", "-w", "-c", "-", "-o", str(output)],
            f"{include}void *dc_references[] = {{ {references} }};\n",
        )
        if not done.returncode:
            return True
        unknown = {match[1] or match[2] for match in _UNDECLARED.finditer(done.stderr)}
        remaining = [name for name in declared if name not in unknown]
        if not remaining or len(remaining) == len(declared):
            return False
        declared = remaining
    return False


def parameter_names(text: str, function: str) -> list[str]:
    """The names of a function's parameters in preprocessed C, empty where a parameter has none.

    ``void`` and a missing declaration give an empty list.
    """
    for start in _openings(text).get(function, ()):
        inside = _balanced(text, start)
        if inside is not None and inside.strip() not in ("", "void"):
            return [_parameter_name(part) for part in _parts(inside) if part.strip() != "..."]
    return []


# Where the parenthesis behind each name opens, in one pass over the text.
@lru_cache(maxsize=4)
def _openings(text: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for match in re.finditer(r"\b(\w+)\s*\(", text):
        found.setdefault(match[1], []).append(match.end())
    return found


def _balanced(text: str, start: int) -> str | None:
    depth = 1
    for position in range(start, min(len(text), start + 10_000)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if not depth:
            return text[start:position]
    return None


def _parts(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _parameter_name(text: str) -> str:
    text = re.sub(r"__attribute__\s*\(\(.*?\)\)", " ", text)
    pointer = re.search(r"\(\s*\*\s*(\w*)", text)  # int (*compare)(...)
    if pointer:
        return pointer[1]
    text = re.sub(r"(\[[^\]]*\]\s*)+$", "", text.strip())
    words = re.findall(r"\w+", text)
    last = re.search(r"(\w+)$", text)
    plain = [word for word in words if word not in ("const", "volatile", "struct", "union", "enum")]
    if not last or len(plain) < 2 or last[1] in _TYPE_WORDS:
        return ""
    return last[1]


def _compiler() -> str:
    wanted = os.environ.get("CC", "").split()[:1]
    return next((found for name in (*wanted, "gcc", "cc") if (found := shutil.which(name))), "")


def _run(command: list[str], source: str) -> subprocess.CompletedProcess[str]:
    try:
        with explained(command[0]):
            return ask(command, {**os.environ, "LC_ALL": "C"}, text=source)
    except OSError as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))

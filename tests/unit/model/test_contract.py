"""The Python side of the contract is what the C says, and any change to the C is noticed."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import datacrumbs
from datacrumbs.model import contract, layouts
from datacrumbs.model.plan import Result

if TYPE_CHECKING:
    from types import ModuleType

PACKAGE = Path(datacrumbs.__file__).parent
SCRIPT = PACKAGE.parent / "scripts/contract.py"
HEADER = PACKAGE / "model/contract.h"
FILES = (contract.__file__, layouts.__file__)
COMPILERS = tuple(name for name in ("cc", "gcc", "clang") if shutil.which(name))
UNUSED = {
    "ANSWERS": "only how many signals the launcher waits for",
    "ANSWER_SIGNAL": "between the launcher and the kernel side",
    "FIGURES": "only a part of TALLY_ROW",
    "GROUP_NAME": "only the key of a map, which is filled up with zeros",
    "RUN_NAME": "likewise",
    "RUN_NAME_SIZE": "likewise",
    "REQUEST_START_KNOWN": "between programs of the kernel side",
    "SETTINGS": "only the size of a map",
    "STATES": "only the size of a table of the library for lines",
    "TALLY_ROWS": "only how many rows the library for lines has room for",
    "TOTALS": "only the size of a map",
}
"""What Python has no use for, and what it is for in C."""

_ENUMERATION = re.compile(r"^enum (?:\w+ )?\{.*?\}", re.MULTILINE | re.DOTALL)
_STRUCTURE = re.compile(r"^struct \w+ \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_ENUMERATOR = re.compile(r"\b(DC_\w+)(?: = ([^,}]+?))?(?=,|\s*\})")
_MEMBER = re.compile(r"^\t(?:struct )?(\w+) (\*?)(\w+)(\[\w+\])?;", re.MULTILINE)
_OTHER_TYPES = {
    f"{sign}int{bits}_t": f"{other}int{bits}_t" for bits in (8, 16, 32, 64) for sign, other in (("u", ""), ("", "u"))
}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("datacrumbs_contract_script", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def current() -> dict[str, str]:
    return {file.name: file.read_text(encoding="utf-8") for file in map(Path, FILES)}


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_modules_are_what_every_compiler_makes_of_the_header(
    compiler: str, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler)
    assert script.generated(HEADER) == current(), "run .venv/bin/python scripts/contract.py"


def changed_headers(text: str) -> dict[str, str]:
    """What is changed -> the header with that one change: each number, and each member's type, length and place."""
    plain = _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    changes: dict[str, tuple[int, int, str]] = {}
    for enumeration in _ENUMERATION.finditer(plain):
        for found in _ENUMERATOR.finditer(plain, *enumeration.span()):
            name, value = found.groups()
            changes[name] = (*found.span(), f"{name} = {f'({value}) + 1' if value else 77}")
    for structure in _STRUCTURE.finditer(plain):
        members = list(_MEMBER.finditer(plain, *structure.span(1)))
        assert len(members) == structure[1].count(";")
        for member in members:
            place = f"{structure[0].split()[1]}.{member[3]}"
            if member[4]:
                changes[f"{place}: length"] = (*member.span(4), f"{member[4][:-1]} + 1]")
            if member[1] in _OTHER_TYPES:
                changes[f"{place}: type"] = (*member.span(1), _OTHER_TYPES[member[1]])
        for one, other in pairwise(members):
            swapped = plain[other.start() : other.end()] + plain[one.end() : other.start()] + plain[slice(*one.span())]
            place = f"{structure[0].split()[1]}.{one[3]}: place"
            changes[place] = (one.start(), other.end(), swapped)
    return {what: plain[:start] + new + plain[end:] for what, (start, end, new) in changes.items()}


@pytest.mark.slow
def test_any_change_to_the_header_is_noticed(script: ModuleType, tmp_path: Path) -> None:
    before = current()
    changed = changed_headers(HEADER.read_text(encoding="utf-8"))
    numbers = {what for what in changed if what.startswith("DC_")}
    assert {f"DC_{name}" for name, value in vars(contract).items() if isinstance(value, int)} <= numbers
    assert sum(": place" in what for what in changed) > 90
    file = tmp_path / "contract.h"
    unnoticed = []
    for what, text in changed.items():
        file.write_text(text, encoding="utf-8")
        if script.generated(file) == before:
            unnoticed.append(what)
    assert not unnoticed


def test_python_uses_what_the_contract_has_but_for_what_is_listed() -> None:
    modules = (contract, layouts)
    names = {name for module in modules for name in vars(module) if not name.startswith("_")}
    used = set()
    for file in PACKAGE.rglob("*.py"):
        if str(file) in FILES:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in {module.__name__ for module in modules}:
                used |= {alias.name for alias in node.names}
    assert names - used - {"annotations", "Any", "IntEnum", "IntFlag", "np"} == set(UNUSED)


def test_sizes_are_those_of_what_they_count() -> None:
    assert len(contract.Setting) == contract.SETTINGS
    assert len(contract.Total) == contract.TOTALS
    assert len(contract.State) == contract.STATES
    assert [kind.name for kind in contract.ResultKind] == [result.name for result in Result]


def test_structures_have_no_gaps() -> None:
    """Else memory of the kernel would be seen in them, keys that are equal would differ, and numpy would close them."""
    structures = {name: value for name, value in vars(layouts).items() if isinstance(value, np.dtype)}
    for name, structure in structures.items():
        assert structure.itemsize == sum(structure[member].itemsize for member in structure.names), name


def test_all_numbers_are_enumerators() -> None:
    """A macro has no value that the compiler could be asked for."""
    assert re.findall(r"^#define (\w+)", HEADER.read_text(encoding="utf-8"), re.MULTILINE) == ["DC_CONTRACT_H"]

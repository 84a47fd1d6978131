"""The hdf5 provider against the HDF5 libraries of this machine."""

from __future__ import annotations

import json
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING

import datacrumbs_hdf5
import pytest
from datacrumbs_hdf5 import libraries, signatures
from datacrumbs_hdf5.functions import find_headers, library_functions

from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.plan import Function, Result, Role
from datacrumbs.provider import CheckState, Host
from datacrumbs.testing import check_provider

if TYPE_CHECKING:
    from datacrumbs.elf.signatures import Signature

WORKLOAD = Path(__file__).parents[1] / "workload"
HOST = Host(platform.release(), platform.machine())
RETURNS = {
    "herr_t": {Result.NEGATIVE},
    "htri_t": {Result.NEGATIVE},
    "int": {Result.NEGATIVE},
    "hid_t": {Result.HANDLE},
    "ssize_t": {Result.OFFSET},
    "hssize_t": {Result.OFFSET},
    "hsize_t": {Result.VALUE},
    "haddr_t": {Result.VALUE},
    "size_t": {Result.VALUE},
    "void *": {Result.POINTER},
    "char *": {Result.POINTER},
}


def _path(label: str) -> Path:
    return next(path for path in libraries.hdf5_libraries(HOST, {}) if libraries.describe(path).label.startswith(label))


def _serial() -> Path:
    return next(path for path in libraries.hdf5_libraries(HOST, {}) if not libraries.describe(path).below)


@pytest.fixture(scope="module")
def functions() -> dict[str, Function]:
    return {function.name: function for function in library_functions(_serial())}


@pytest.fixture(scope="module")
def header() -> str:
    folder = find_headers(_serial())[0].parent
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("H5*public.h")))
    return " ".join(re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL).split())


def _declaration(header: str, name: str) -> tuple[str, list[str]] | None:
    match = re.search(rf"H5_DLL ([\w ]+?[ *]+){name}\(([^;]*?)\);", header)
    return (match[1].strip(), [part.strip() for part in match[2].split(",")]) if match else None


def test_contract() -> None:
    report = check_provider(datacrumbs_hdf5)
    labels = {target.label for target, _ in report.targets}
    assert any(re.fullmatch(r"HDF5 \d+\.\d+\.\d+", label) for label in labels)
    assert any(label.endswith("over libmpi.so.40") for label in labels)
    assert any(label.startswith("HDF5 high level over") for label in labels)


def test_public_functions_only(functions: dict[str, Function]) -> None:
    assert {"H5open", "H5Fopen", "H5Dwrite", "H5Pset_chunk", "H5FDregister"} <= set(functions)
    assert not [name for name in functions if "__" in name or re.match(r"H5[A-Z]+_", name)]
    high = {function.name for function in library_functions(_path("HDF5 high level"))}
    assert {"H5LTmake_dataset", "H5TBmake_table"} <= high
    assert not [name for name in high if "yy" in name]


def test_results_are_those_of_the_header(functions: dict[str, Function], header: str) -> None:
    checked = 0
    for name, function in functions.items():
        declared = _declaration(header, name)
        if declared and declared[0] in RETURNS:
            assert function.result in RETURNS[declared[0]], (name, declared[0])
            checked += 1
    assert checked > 450


def _wrong_arguments(entry: Signature, parameters: list[str]) -> list[str]:
    wrong = []
    for argument in entry.arguments:
        declared = parameters[argument.index] if argument.index < len(parameters) else "nothing"
        kind = re.sub(r"\W*\w+(\[\d*\])?$", "", declared) if "*" not in declared else "const char *"
        if kind not in {argument.ctype, f"{argument.ctype} int"} and not (
            argument.ctype in {"int", "unsigned"} and declared.startswith("H5")
        ):
            wrong.append(f"{entry.name}: {argument.label}: {declared}")
    return wrong


def test_curated_arguments_are_those_of_the_header(header: str) -> None:
    wrong, checked = [], 0
    for entry in signatures.SIGNATURES:
        declared = _declaration(header, entry.name)
        if declared:
            wrong += _wrong_arguments(entry, declared[1])
            checked += 1
    assert not wrong
    assert checked > 150


def test_only_locations_are_handles(functions: dict[str, Function]) -> None:
    for name in ("H5Sclose", "H5Pclose", "H5Tclose", "H5Pset_chunk", "H5Sselect_all"):
        assert Role.HANDLE not in {argument.role for argument in functions[name].arguments}
    for name in ("H5Dread", "H5Awrite", "H5Fflush", "H5Lexists"):
        assert functions[name].arguments[0].role is Role.HANDLE
    for name in ("H5Aclose", "H5Dclose", "H5Fclose", "H5Gclose", "H5Oclose"):
        assert functions[name].arguments[0].role is Role.CLOSED
    assert functions["H5Idec_ref"].arguments[0].role is Role.RELEASED
    for entry in signatures.SIGNATURES:
        assert [argument.role for argument in entry.arguments].count(Role.HANDLE) <= 1


def test_names_are_strings_and_files_are_paths(functions: dict[str, Function]) -> None:
    assert [argument.role for argument in functions["H5Fopen"].arguments] == [Role.PATH, Role.FLAGS]
    assert [argument.role for argument in functions["H5Dopen2"].arguments] == [Role.HANDLE, Role.STRING]
    assert [argument.label for argument in functions["H5Acreate_by_name"].arguments][1:] == ["obj_name", "attr_name"]


def test_functions_that_run_operators_have_no_return_probe(functions: dict[str, Function], header: str) -> None:
    assert not functions["H5Literate"].return_probe
    assert functions["H5Dread"].return_probe
    for name, function in functions.items():
        declared = _declaration(header, name)
        operator = declared and any(re.search(r"_t op$|_func_t op$|_iterate\w* \w+$", part) for part in declared[1])
        if operator and not name.startswith(("H5S", "H5Pset")):
            assert not function.return_probe, name


def test_asynchronous_functions_come_from_their_blocking_ones() -> None:
    entries = {entry.name: entry for entry in signatures.SIGNATURES}
    assert [(argument.index, argument.role) for argument in entries["H5Fopen_async"].arguments] == [
        (3, Role.PATH),
        (4, Role.FLAGS),
    ]
    assert entries["H5Dread_async"].arguments[0].index == 3
    assert "H5Dread_async" in signatures.DATA


def test_presets_do_not_overlap() -> None:
    assert not signatures.DATA & signatures.METADATA
    assert signatures.FILES <= signatures.METADATA


def test_high_level_library_is_an_option() -> None:
    targets = list(datacrumbs_hdf5.datacrumbs_targets(host=HOST, options={"high_level": False}))
    assert targets
    assert not [target for target in targets if "high level" in target.label]


def test_missing_library_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(DatacrumbsError, match="is not a file") as caught:
        libraries.hdf5_libraries(HOST, {"libraries": (str(tmp_path / "libhdf5.so"),)})
    assert caught.value.exit_code == 2


def test_no_library_is_a_finding_with_a_remedy() -> None:
    program = Host(HOST.release, HOST.machine, program=Path("/bin/true"))
    checks = list(datacrumbs_hdf5.datacrumbs_checks(host=program))
    assert [check.state for check in checks] == [CheckState.WARNING]
    assert checks[0].fix


def test_workload_table(functions: dict[str, Function]) -> None:
    document = json.loads((WORKLOAD / "workload.json").read_text(encoding="utf-8"))
    source = (WORKLOAD / "workload.c").read_text(encoding="utf-8")
    counts = document["counts"]
    assert set(counts) <= set(functions)
    called = set(re.findall(r"\b(H5[A-Z]+[a-z]\w*)(?=[(,)])", source)) & set(functions)
    assert called - {"H5Eset_auto2"} <= set(counts)

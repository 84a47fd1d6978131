"""The mpi provider against the MPI libraries of this machine."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
from pathlib import Path

import datacrumbs_mpi
import pytest
from datacrumbs_mpi import implementation, libraries, signatures
from datacrumbs_mpi.functions import find_header, library_functions

from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.plan import ARGUMENT_LIMIT, Function, Role
from datacrumbs.provider import CheckState, Host
from datacrumbs.testing import check_provider

WORKLOAD = Path(__file__).parents[1] / "workload"
HOST = Host(platform.release(), platform.machine())


def _library(name: str) -> Path:
    return next(path for path in libraries.mpi_libraries(HOST, {}) if name in implementation.identify(path).label)


def _functions(name: str, **options: bool) -> dict[str, Function]:
    path = _library(name)
    found = library_functions(path, implementation.identify(path), **options)
    return {function.name: function for function in found}


@pytest.fixture(scope="module")
def open_mpi() -> dict[str, Function]:
    return _functions("Open MPI")


@pytest.fixture(scope="module")
def mpich() -> dict[str, Function]:
    return _functions("MPICH")


def test_contract() -> None:
    report = check_provider(datacrumbs_mpi)
    assert {target.label.rpartition(" ")[0] for target, _ in report.targets} == {"Open MPI", "MPICH"}


def test_one_function_for_mpi_and_pmpi(open_mpi: dict[str, Function], mpich: dict[str, Function]) -> None:
    for functions in (open_mpi, mpich):
        assert functions["MPI_File_open"].aliases == ("PMPI_File_open",)
        assert not [name for name in functions if name.startswith("PMPI")]
        offsets = [function.offset for function in functions.values()]
        assert len(offsets) == len(set(offsets))


def test_categories(mpich: dict[str, Function]) -> None:
    for name, function in mpich.items():
        assert function.category == ("MPIIO" if name.startswith("MPI_File_") else "MPI")


def test_each_file_function_is_curated(open_mpi: dict[str, Function], mpich: dict[str, Function]) -> None:
    curated = signatures.DATA | signatures.METADATA
    conversions = {"MPI_File_c2f", "MPI_File_f2c"}
    for functions in (open_mpi, mpich):
        names = {name for name in functions if name.startswith("MPI_File_")}
        assert names - conversions <= curated


@pytest.mark.parametrize("kind", ["open_mpi", "mpich"])
def test_arguments_are_those_of_the_header(kind: str, request: pytest.FixtureRequest) -> None:
    functions: dict[str, Function] = request.getfixturevalue(kind)
    path = _library("Open MPI" if kind == "open_mpi" else "MPICH")
    header = find_header(path, implementation.identify(path))
    assert header is not None
    headers = sorted(header.parent.glob("mpi*.h"))
    text = " ".join(" ".join(file.read_text(encoding="utf-8") for file in headers).split())
    checked = 0
    for name, function in functions.items():
        match = re.search(rf"\bint {name}\s*\(([^()]*)\)", text)
        if not name.startswith("MPI_File_") or not match:
            continue
        declared = [re.sub(r"\s*(const )?\b\w+$", "", part.strip()).strip() for part in match[1].split(",")]
        for argument in function.arguments:
            assert declared[argument.index].replace(" ", "") == argument.ctype.replace(" ", ""), (name, argument)
            checked += 1
    assert checked > 100


def test_file_follows_the_handle(open_mpi: dict[str, Function]) -> None:
    roles = {argument.label: argument.role for argument in open_mpi["MPI_File_open"].arguments}
    assert roles == {"filename": Role.PATH, "amode": Role.FLAGS, "fh": Role.OUT_HANDLE}
    for name in (signatures.DATA | signatures.METADATA) & set(open_mpi):
        if name not in {"MPI_File_open", "MPI_File_close", "MPI_File_delete", "MPI_File_create_errhandler"}:
            assert open_mpi[name].arguments[0].role is Role.HANDLE, name


def test_transfers_name_the_snippet_of_their_form(open_mpi: dict[str, Function], mpich: dict[str, Function]) -> None:
    assert open_mpi["MPI_File_write_all"].snippet_arguments == (2,)
    assert open_mpi["MPI_File_iread_at"].snippet_arguments == (3,)
    assert mpich["MPI_File_write_at_all"].snippet_arguments == (3, 0)
    assert mpich["MPI_File_write_at_all_c"].snippet_arguments == (3, 1)
    fields = {snippet.name: len(snippet.fields) for snippet in datacrumbs_mpi.datacrumbs_snippets()}
    for function in (*open_mpi.values(), *mpich.values()):
        assert not function.snippet or len(function.arguments) + fields[function.snippet] <= ARGUMENT_LIMIT


def test_snippets_read_the_arguments_that_the_signature_leaves_out() -> None:
    for entry in signatures.file_signatures("mpich"):
        if "transfer" in entry.snippet:
            count = next(argument for argument in entry.arguments if argument.role is Role.COUNT)
            assert entry.snippet_arguments == (count.index, int(count.size == 8)), entry.name
    folder = Path(datacrumbs_mpi.__file__).parent / "snippets"
    text = (folder / "mpich_transfer.bpf.c").read_text(encoding="utf-8")
    assert "(s64)DC_ARGUMENT(call, position) : (s32)DC_ARGUMENT(call, position)" in text
    assert "datatype = DC_ARGUMENT(call, position + 1)" in text


def test_trivial_functions_are_an_option(open_mpi: dict[str, Function]) -> None:
    assert "MPI_Wtime" not in open_mpi
    more = _functions("Open MPI", trivial=True)
    assert more["MPI_Wtime"].result == "value"
    assert set(open_mpi) < set(more)


def test_functions_that_run_handlers_have_no_return_probe(mpich: dict[str, Function]) -> None:
    without = {name for name, function in mpich.items() if not function.return_probe}
    handlers = {f"MPI_{kind}_call_errhandler" for kind in ("Comm", "File", "Session", "Win")}
    assert without == {"MPI_Abort"} | handlers & set(mpich)
    assert without > {"MPI_Abort"}


def test_fortran_is_an_option() -> None:
    targets = list(datacrumbs_mpi.datacrumbs_targets(host=HOST, options={"fortran": True}))
    fortran = [target for target in targets if target.label == "Fortran bindings"]
    assert fortran
    for target in fortran:
        names = {function.name: function for function in datacrumbs_mpi.datacrumbs_functions(target=target, options={})}
        assert names["mpi_file_open_"].category == "MPIFORTRAN"


def test_open_mpi_layout_is_found_in_the_file() -> None:
    found = implementation.identify(_library("Open MPI"))
    assert (found.snippets, found.problem) == ("openmpi", "")
    assert re.fullmatch(r"\d+\.\d+\.\d+\w*", found.version)


SIZES = """
#include <mpi.h>
#include <stdio.h>
#include <string.h>
int main(int count, char **arguments)
{
	MPI_Datatype vector, all[8] = {MPI_CHAR, MPI_SHORT, MPI_INT, MPI_DOUBLE, MPI_LONG_DOUBLE, MPI_DOUBLE_INT};
	MPI_Init(&count, &arguments);
	MPI_Type_vector(7, 3, 5, MPI_INT, &vector);
	all[6] = vector;
	MPI_Type_contiguous(11, vector, &all[7]);
	for (int i = 0; i < 8; i++) {
		int size;
		size_t read;
		MPI_Type_size(all[i], &size);
#ifdef OPEN_MPI
		memcpy(&read, (char *)all[i] + OFFSET, sizeof(read));
#else
		read = all[i] >> 16 == 0x4c00 ? (all[i] >> 8) & 0xff : size;
#endif
		printf("%d %zu\\n", size, read);
	}
	return MPI_Finalize();
}
"""


@pytest.mark.parametrize("kind", ["openmpi", "mpich"])
def test_sizes_are_where_the_snippets_read_them(kind: str, tmp_path: Path) -> None:
    compiler = shutil.which(f"mpicc.{kind}") or pytest.fail(f"mpicc.{kind} is missing; `make test` installs it")
    source = tmp_path / "sizes.c"
    source.write_text(SIZES, encoding="utf-8")
    offset = f"-DOFFSET={implementation.OPENMPI_SIZE_OFFSET}"
    subprocess.run([compiler, offset, source, "-o", tmp_path / "sizes"], check=True)
    run = [f"mpirun.{kind}", "-n", "1", *(["--allow-run-as-root"] if kind == "openmpi" else []), tmp_path / "sizes"]
    output = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    pairs = [line.split() for line in output.splitlines()]
    assert len(pairs) == 8
    assert all(size == read for size, read in pairs)


def test_another_layout_gives_no_bytes(tmp_path: Path) -> None:
    source = tmp_path / "other.c"
    source.write_text(
        "struct type { long header[4]; long size; long more[59]; };\n"
        + "".join(f"struct type {name} = {{.size = {size}}};\n" for name, size in implementation._KNOWN_SIZES.items())
        + "int MPI_Init(void) { return 0; }\nint MPI_File_open(void) { return 1; }\n",
        encoding="utf-8",
    )
    library = tmp_path / "libmpi.so.99"
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", library], check=True)
    found = implementation.identify(library)
    assert found.snippets == ""
    assert "at 32, not at 24" in found.problem
    assert all(not function.snippet.startswith("openmpi") for function in library_functions(library, found))


def test_missing_library_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(DatacrumbsError, match="is not a file") as caught:
        libraries.mpi_libraries(HOST, {"libraries": (str(tmp_path / "libmpi.so"),)})
    assert caught.value.exit_code == 2


def test_no_library_is_a_finding_with_a_remedy() -> None:
    program = Host(HOST.release, HOST.machine, program=Path("/bin/true"))
    checks = list(datacrumbs_mpi.datacrumbs_checks(host=program))
    assert [check.state for check in checks] == [CheckState.WARNING]
    assert checks[0].fix


@pytest.mark.parametrize("table", ["workload.json", "workload-mpich.json"])
def test_workload_table(table: str, mpich: dict[str, Function], open_mpi: dict[str, Function]) -> None:
    document = json.loads((WORKLOAD / table).read_text(encoding="utf-8"))
    known = mpich if "mpich" in table else open_mpi
    source = (WORKLOAD / "workload.c").read_text(encoding="utf-8")
    for name, row in document["counts"].items():
        assert name in known
        assert row["count"] % document["ranks"] == 0
        assert name == "MPI_File_set_errhandler" or f"{name}(" in source
    calls = {name for name in known if f"{name}(" in source and name.startswith("MPI_File_")}
    assert calls <= set(document["counts"])

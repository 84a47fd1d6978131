"""What commands print with ``--json`` has the form that the package's schemas say, and no key that they do not name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.commands import doctor, report
from datacrumbs.commands import list as listing
from datacrumbs.report import PATTERN, VIEWS
from datacrumbs.schemas import NAMES, schema

from ...json_forms import check_form, jsonschema, read_json  # noqa: TID252 - a helper of all tests

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"f1": "/data/one.h5", "f2": "/data/two.h5", "f3": "pipe:[7]"}


@pytest.fixture
def documents(capsys):
    def of(command: Any, *arguments: object) -> Any:
        command.COMMAND.run([*map(str, arguments), "--json"])
        return read_json(command.COMMAND.name, capsys.readouterr().out)

    return of


@pytest.fixture
def traces(made, synthetic, tmp_path: Path) -> dict[str, Path]:
    call = made.call
    many = [call("write", "SYS", 20 * n, 15, bytes=7, ret=7, fd=3, count=7, fhash="f1") for n in range(1511)]
    calls = [
        call("openat", "SYS", 0, 3, ret=3, fhash="f1", flags=0),
        *many,
        call("H5Dwrite", "HDF5", 99_000, 900, process=8, fhash="f2"),
        call("pwrite", "SYS", 99_100, 700, process=8, bytes=4096, ret=4096, offset=0, count=4096, fd=3, fhash="f2"),
        call("read", "SYS", 99_900, 9, process=8, ret=-1, errno=11, fhash="f3"),
    ]
    rank = [made.metadata("PR", {"hhash": "00", "name": name, "value": "3"}, 8) for name in ("rank", "size")]
    rank += [
        made.metadata("SH", {"name": "model -v", "value": "aa"}),
        made.metadata("PR", {"hhash": "00", "name": "cmd_hash", "value": "aa"}, 8),
    ]
    mount = made.metadata("datacrumbs_mount", {"point": "/", "local": 1, "type": "ext4", "block_bytes": 4096})
    costs = {"calls system call": "1509", "cost system call": "331 ±17 ns", "calls kernel event": "3"}
    cost = made.metadata("datacrumbs_provenance", costs)
    clock = made.profile("fsync", "SYS", 99_000, 5)
    return {
        "whole": made.write(tmp_path / "whole.pfw.gz", calls, FILES, before=[*rank, mount], after=[cost], host="a"),
        "later": made.write(tmp_path / "later.pfw.gz", many, FILES, host="b", run_id="two"),
        "added up": made.write(tmp_path / "sums.pfw.gz", calls, FILES, before=rank, after=[clock], host="c"),
        "losses": synthetic.write_trace(tmp_path / "lost.pfw.gz", 12, lost=((synthetic.READ, 5),)),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize("of", ["whole", "added up", "losses"])
def test_tables_and_findings(documents, traces: dict[str, Path], of: str) -> None:
    document = documents(report, traces[of])
    assert document["schema_version"] == 1
    assert document["functions"]
    if of == "whole":
        assert document["tracing_costs"][0]["cost_us"]
        assert [each["rule"] for each in document["findings"]] == ["small-writes"]


@pytest.mark.parametrize("view", [*VIEWS, PATTERN])
@pytest.mark.parametrize("of", ["whole", "added up", "losses"])
def test_each_table(documents, traces: dict[str, Path], of: str, view: str) -> None:
    document = documents(report, traces[of], "--by", view, "--wide")
    known = {"traces", "jobs", "tracing_costs", "clocks", "schema_version"}
    (name,) = document.keys() - known
    assert document[name] or (of, view) in {("losses", "size"), ("losses", "channel"), ("losses", PATTERN)}


def test_several_nodes(documents, traces: dict[str, Path]) -> None:
    documents(report, *traces.values(), "--by", "node")


def test_a_comparison(documents, traces: dict[str, Path]) -> None:
    document = documents(report, traces["whole"], "--compare", traces["later"])
    assert document["changes"]


def test_an_explanation(documents, traces: dict[str, Path]) -> None:
    documents(report, traces["whole"], "--explain", "H5Dwrite", "--slow-vs-fast")
    documents(report, traces["losses"], "--explain", "read")


def test_other_commands(documents, traces: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    documents(listing, "--prefix", tmp_path)
    documents(doctor, "--prefix", tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"schema_version": 2},
        {"tables": []},
        {"functions": [{"layer": "SYS", "name": "read"}]},
    ],
)
def test_another_form_is_refused(documents, traces: dict[str, Path], wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check_form("report", documents(report, traces["whole"]) | wrong)

"""The traces load in the tools that others use; the checks themselves stand in checks.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from datacrumbs.commands.report import COMMAND

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

pytestmark = [pytest.mark.readers, pytest.mark.slow]


def traces(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.pfw.gz"))


def test_dftracer_validate(checks: ModuleType, dftracer, trace_directory: Path) -> None:
    checks.check_validate(dftracer, trace_directory)


def test_dftracer_event_count(checks: ModuleType, dftracer, trace_directory: Path) -> None:
    checks.check_event_count(dftracer, trace_directory)


def test_dftracer_info(checks: ModuleType, dftracer, trace_directory: Path) -> None:
    said = dftracer.run("dftracer_info", "-d", str(trace_directory))
    assert f"Valid Events:       {sum(checks.our_counts(trace_directory).values())}" in said
    assert "Failed:             0" in said


def test_dftracer_view_resolves_files(checks: ModuleType, dftracer, trace_directory: Path, tmp_path: Path) -> None:
    rows = checks.check_view(dftracer, traces(trace_directory)[0], tmp_path)
    paths = {row["file_path"]: row for row in rows}
    if trace_directory.name.startswith("synthetic"):
        assert "/data/ünïcode-漢字-🦀.h5" in paths
        assert "/home/user/sub/../file" in paths
        assert any(path.startswith("/data/inv�") for path in paths)


def test_perfetto(checks: ModuleType, perfetto, trace_directory: Path) -> None:
    for trace in traces(trace_directory):
        checks.check_perfetto(perfetto, trace)


def test_perfetto_opens_what_is_exported(checks: ModuleType, perfetto, trace_directory: Path, tmp_path: Path) -> None:
    for trace in traces(trace_directory):
        checks.check_export(perfetto, trace, tmp_path / f"{trace.name}.pftrace")


def test_perfetto_names_processes_and_threads(perfetto, trace_directory: Path) -> None:
    (rows,) = perfetto.query(traces(trace_directory)[0], "select pid, name from process where pid > 0 order by pid")
    assert all(name for _, name in rows)
    if trace_directory.name.startswith("synthetic"):
        assert rows[0] == [1000, "dd"]


def test_perfetto_labels_processes_with_their_command_lines(perfetto, trace_directory: Path, tmp_path: Path) -> None:
    exported = tmp_path / "trace.pftrace"
    assert COMMAND.run([str(traces(trace_directory)[0]), "--export", str(exported)]) == 0
    query = "select string_value from process join args using (arg_set_id) where key glob '*process_label*'"
    (rows,) = perfetto.query(exported, query)
    beginning = "dd 'if=a b'" if trace_directory.name.startswith("synthetic") else "/bin/dd if=/dev/zero "
    assert any(label.startswith(beginning) for (label,) in rows)


def test_perfetto_keeps_nesting(perfetto, trace_directory: Path) -> None:
    (rows,) = perfetto.query(
        traces(trace_directory)[0],
        # A call within a microsecond has no length and may show inside its neighbour: nothing can nest in it wrongly.
        "select p.name, c.name, count(*) from slice c join slice p on c.parent_id = p.id "
        "where c.dur > 0 or p.name = 'fread' group by 1, 2 order by 1, 2",
    )
    if trace_directory.name.startswith("recorded"):
        # Streams call the system; nothing that programs do at system calls is inside another call of theirs.
        assert ("fclose", "close") in {(parent, child) for parent, child, _ in rows}
        return
    pairs = {(parent, child): count for parent, child, count in rows}
    # 6 threads x 60 turns, depths 0 to 3 in turn: 3 of 4 turns have a read in a fread, 3 freads in freads per 4.
    assert pairs[("fread", "read")] == 6 * 45
    assert pairs[("fread", "fread")] == 6 * 45
    assert set(pairs) == {("fread", "read"), ("fread", "fread")}


def test_duckdb(checks: ModuleType, duckdb_reader, trace_directory: Path) -> None:
    program = """
import duckdb, json, sys
columns = "{name:'VARCHAR', ph:'VARCHAR', ts:'BIGINT', dur:'BIGINT', args:'JSON'}"
source = f"read_json(?, format='newline_delimited', ignore_errors=true, columns={columns})"
rows = duckdb.execute(f"select name, count(*) from {source} where ph = 'X' group by name order by name", sys.argv[1:])
print(json.dumps(dict(rows.fetchall())))
"""
    said = duckdb_reader.run("python", "-c", program, str(trace_directory / "*.pfw.gz"))
    assert json.loads(said) == checks.our_counts(trace_directory)


def test_dfanalyzer(checks: ModuleType, dfanalyzer, trace_directory: Path, tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    dfanalyzer.run(
        "dfanalyzer",
        "analyzer/preset=posix",
        f"trace_path={trace_directory}",
        "cluster.n_workers=1",
        "output=json",
        f"output.file_path={output}",
        cwd=tmp_path,
        USER="root",
    )
    result = json.loads(output.read_text())
    assert result["raw_stats"]["total_event_count"] == sum(checks.our_counts(trace_directory).values())
    if trace_directory.name.startswith("recorded"):
        return  # its views leave out system files, of which a real run has many
    layers = result["views"]["time_range"]["summary"]["layers"]
    moved = checks.our_bytes(trace_directory, ("POSIX", "STDIO"))
    assert layers["posix"]["count"] == sum(count for count, _ in moved.values())
    assert layers["posix"]["size_bytes"] == sum(size for _, size in moved.values())

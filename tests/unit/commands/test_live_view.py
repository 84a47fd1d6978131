"""``datacrumbs_top`` where nothing is drawn: tables, JSON, metrics, and what it makes of hostile runs."""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import threading
from contextlib import ExitStack, closing, contextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from datacrumbs.commands import _live_view
from datacrumbs.commands._live_metrics import exposition
from datacrumbs.commands._live_table import Choice, ordered
from datacrumbs.errors import DatacrumbsError
from datacrumbs.output import printable
from datacrumbs.runs.snapshot_client import WatchedRun, runs_to_watch, snapshot
from datacrumbs.system import SystemPaths

from ...json_forms import read_json  # noqa: TID252 - a helper of all tests
from .live_run import ME, LiveRun
from .scripts import SCRIPTS, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STEERING = "\x1b\x9b\u202e\r\x07"


@pytest.fixture
def start(synthetic, tmp_path: Path) -> Iterator[Callable[..., LiveRun]]:
    runs = []

    def make(name: str = "4711", answer=None) -> LiveRun:
        runs.append(LiveRun(synthetic, tmp_path, name, answer))
        return runs[-1]

    yield make
    for each in runs:
        each.close()


def top(tmp_path: Path, *words: str, **options) -> subprocess.CompletedProcess[str]:
    return run("datacrumbs_top", "--prefix", tmp_path, *words, **options)


def test_one_look_is_a_document(start, tmp_path: Path) -> None:
    start()
    done = top(tmp_path, "4711", "--once", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = read_json("top", done.stdout)
    assert (found["run"], found["user"], found["host"], found["state"]) == ("4711", "ada", "node1", "running")
    assert set(found["views"]) == {"function", "file", "process", "rank", "layer"}
    (pwrite,) = [row for row in found["views"]["function"] if row["function"] == "pwrite"]
    assert pwrite["calls"] == 13 * 6


def test_without_a_name_it_is_the_last_run(start, tmp_path: Path) -> None:
    start("4711")
    assert json.loads(top(tmp_path, "--once", "--json").stdout)["run"] == "4711"
    start("4712")
    done = top(tmp_path, "--once", "--json")
    assert json.loads(done.stdout)["run"] in {"4711", "4712"}
    assert "2 runs go on; this is 471" in done.stderr


def test_a_job_finds_its_own_run(start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start("4711")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setattr("datacrumbs.runs.snapshot_client.daemons", lambda _: iter(()))
    assert runs_to_watch(SystemPaths(tmp_path)) == ["4711"]
    monkeypatch.setenv("SLURM_JOB_ID", "4712")
    assert runs_to_watch(SystemPaths(tmp_path)) == []


def test_a_line_for_each_look_until_the_end(start, tmp_path: Path) -> None:
    live = start()
    command = [SCRIPTS / "datacrumbs_top", "--prefix", tmp_path, "4711", "--json", "--interval", "10ms"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(3):
            assert json.loads(process.stdout.readline())["state"] == "running"
        live.end()
        *_, last = process.stdout
        assert read_json("top", last)["state"] == "ended"
        assert process.wait(300) == 0


@pytest.mark.parametrize("words", [(), ("--once",), ("--interval", "1h")])
def test_without_a_terminal_it_is_one_table(start, tmp_path: Path, words: tuple[str, ...]) -> None:
    start()
    done = top(tmp_path, "4711", "--by", "layer", *words)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert re.match(r"run 4711 of ada on node1: running, \d+:\d\d:\d\d", lines[0])
    (headings,) = [line for line in lines if line.startswith("layer ")]
    assert headings.split() == ["layer", "busy", "calls/s", "bytes/s", "calls", "errors", "bytes", "time"]


def test_orders_and_limits(start, tmp_path: Path) -> None:
    start()
    names = [line.split()[1] for line in top(tmp_path, "4711", "--sort", "calls").stdout.splitlines()[4:]]
    assert names[0] == "read"
    by_name = top(tmp_path, "4711", "--sort", "name", "--limit", "2").stdout.splitlines()[4:]
    assert len(by_name) == 3
    assert by_name[2].startswith("and ")
    assert by_name[0].split()[:2] == ["HDF5", "H5Dopen2"]


def test_rows_between_which_the_order_does_not_tell_are_by_time(synthetic) -> None:
    rows = good(synthetic)["views"]["function"]
    for row in rows:
        row["recent_time_ns"] = 0
    times = [row["time_ns"] for row in ordered(rows, Choice("function", "busy"))]
    assert len(set(times)) > 1
    assert times == sorted(times, reverse=True)


def test_hostile_names_do_no_harm(start, tmp_path: Path) -> None:
    hostile = f"x{STEERING}\ny"

    def answer(writer, state: str) -> bytes:
        found = json.loads(writer.snapshot(state))
        found["user"] = found["host"] = hostile
        for view, key in (("function", "function"), ("layer", "layer"), ("file", "path"), ("process", "name")):
            for row in found["views"][view]:
                row[key] = hostile
        return json.dumps(found).encode() + b"\n"

    start("4711", answer)
    for view in ("function", "file", "process", "rank", "layer"):
        done = top(tmp_path, "4711", "--by", view)
        assert done.returncode == 0
        assert not set(STEERING) & set(done.stdout), view
    file = tmp_path / "out.prom"
    assert top(tmp_path, "--prometheus", str(file), "--once").returncode == 0
    samples = [sample for family in text_string_to_metric_families(file.read_text()) for sample in family.samples]
    series = [(sample.name, *sorted(sample.labels.items())) for sample in samples]
    assert len(set(series)) == len(series)  # one double would have a collector refuse the file
    assert printable(hostile) in {label for _, *labels in series for _, label in labels}
    # Whose it is, and where, is not what the run's process says.
    assert ("datacrumbs_run_info", ("host", socket.gethostname()), ("run", "4711"), ("user", ME.name)) in series


def test_metrics_go_to_a_whole_file(start, tmp_path: Path) -> None:
    start("4711")
    start("4712")
    file = tmp_path / "out.prom"
    file.write_text("before")
    inode = file.stat().st_ino
    assert top(tmp_path, "--prometheus", str(file), "--once").returncode == 0
    assert file.stat().st_ino != inode
    assert file.stat().st_mode & 0o777 == 0o644
    families = {family.name: family for family in text_string_to_metric_families(file.read_text())}
    assert [sample.value for sample in families["datacrumbs_runs"].samples] == [2]
    assert {sample.labels["run"] for sample in families["datacrumbs_run_info"].samples} == {"4711", "4712"}
    calls = {
        (sample.labels["run"], sample.labels["function"]): sample.value
        for sample in families["datacrumbs_run_function_calls"].samples
    }
    assert calls["4711", "pwrite"] == calls["4712", "pwrite"] == 13 * 6
    assert all(family.type in {"counter", "gauge"} and family.documentation for family in families.values())


def test_names_that_are_escaped_to_one_are_one_series(synthetic) -> None:
    found = good(synthetic)
    first, second = found["views"]["function"][:2]
    second.update(layer=first["layer"], function="a\\x1b")
    first.update(function="a\x1b")
    families = {each.name: each for each in text_string_to_metric_families(exposition([found], 1))}
    samples = families["datacrumbs_run_function_calls"].samples
    assert [sample.value for sample in samples if sample.labels["function"] == "a\\x1b"] == [
        first["calls"] + second["calls"]
    ]


@contextmanager
def stopped(directory: Path, name: str) -> Iterator[None]:
    """A run whose process takes no connection, and for which no further one can wait."""
    place = str(directory / f"run/datacrumbs/datacrumbs-{name}.sock")
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(place)
        listener.listen(1)
        with suppress(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.settimeout(0)
                waiting.connect(place)
        yield


@contextmanager
def chatty(directory: Path, name: str) -> Iterator[None]:
    """A run that sends what never becomes a line."""

    def send() -> None:
        with suppress(OSError), listener.accept()[0] as connection:
            while True:
                connection.send(b"x")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / f"run/datacrumbs/datacrumbs-{name}.sock"))
        listener.listen()
        listener.settimeout(300)
        thread = threading.Thread(target=send)
        thread.start()
        yield
        thread.join()


def test_runs_that_do_not_answer_hide_no_other(start, tmp_path: Path, monkeypatch, capsys) -> None:
    start("4711")
    clock = [0.0]

    def heard(look: WatchedRun) -> dict | None:
        if (found := hear(look)) is not None:
            clock[0] += 2 * _live_view.ROUND_SECONDS
        return found

    hear = WatchedRun.heard
    monkeypatch.setattr(WatchedRun, "heard", heard)
    monkeypatch.setattr(_live_view, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(_live_view, "runs_to_watch", lambda _: ["4712", "4713", "4714", "4711"])
    file = tmp_path / "x.prom"
    given = dict.fromkeys(("run", "limit", "by", "sort"))
    options = argparse.Namespace(prefix=tmp_path, prometheus=file, once=True, json=False, **given)
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(tmp_path / "run/datacrumbs/datacrumbs-4713.sock"))
    silent.listen()
    with stopped(tmp_path, "4712"), chatty(tmp_path, "4714"), silent:
        _live_view.look_on(options)
    families = {each.name: each for each in text_string_to_metric_families(options.prometheus.read_text())}
    assert [sample.value for sample in families["datacrumbs_runs"].samples] == [4]
    assert [sample.labels["run"] for sample in families["datacrumbs_run_info"].samples] == ["4711"]
    said = capsys.readouterr().err
    assert "run 4713 does not answer" in said
    assert "run 4714" in said


def test_a_run_that_never_stops_sending_is_heard_for_so_long(start, tmp_path: Path) -> None:
    start("4711")
    with chatty(tmp_path, "4712"), closing(WatchedRun(SystemPaths(tmp_path), "4712")) as look:
        assert look.heard(0.05) is None
        assert not look.ended


def test_a_run_for_which_too_many_wait(start, tmp_path: Path) -> None:
    start("4711")
    with stopped(tmp_path, "4712"), pytest.raises(DatacrumbsError, match="run 4712 does not answer"):
        WatchedRun(SystemPaths(tmp_path), "4712")


def test_no_run_is_no_series(tmp_path: Path) -> None:
    file = tmp_path / "out.prom"
    assert top(tmp_path, "--prometheus", str(file), "--once").returncode == 0
    samples = [sample for family in text_string_to_metric_families(file.read_text()) for sample in family.samples]
    assert [(sample.name, sample.value) for sample in samples] == [("datacrumbs_runs", 0)]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["4712"], 1, "no run 4712 of yours goes on here"),
        (["../4711"], 2, "may contain only letters"),
        (["4711", "--prometheus", "x"], 2, "give neither RUN nor --json"),
        (["--prometheus", "", "--once"], 2, "'' names no file"),
        (["--prometheus", "-", "--once"], 2, "'-' names no file"),
        (["--prometheus", "/", "--once"], 1, "/: names no file; nothing was written"),
        (["4711", "--json", "--limit", "3"], 2, "--limit applies to tables only"),
        (["--prometheus", "x", "--limit", "3"], 2, "--limit applies to tables only"),
        (["4711", "--json", "--by", "function"], 2, "--by applies to tables only"),
        (["--prometheus", "x", "--sort", "busy"], 2, "--sort applies to tables only"),
        (["--interval", "0"], 2, "--interval"),
        (["--limit", "0"], 2, "whole number"),
    ],
)
def test_what_cannot_be_looked_at(start, tmp_path: Path, words: list[str], status: int, said: str) -> None:
    start()
    done = top(tmp_path, *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr


def good(synthetic) -> dict:
    import io

    writer = synthetic.new_writer(io.BytesIO())
    for batch in synthetic.batches(2):
        writer.write(batch)
    return json.loads(writer.snapshot("running"))


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.update(schema_version=2),
        lambda found: found.update(run=7),
        lambda found: found.update(state="asleep"),
        lambda found: found.update(recorded=True),
        lambda found: found.update(lost=-1),
        lambda found: found.update(begin_us=1 << 63),
        lambda found: found.update(time_us=1.5),
        lambda found: found.update(user="x" * 5000),
        lambda found: found.update(views=[]),
        lambda found: found["views"].pop("file"),
        lambda found: found["views"].update(layer=[7]),
        lambda found: found["views"]["file"][0].update(path=3),
        lambda found: found["views"]["file"][0].update(calls="3"),
        lambda found: found["views"]["function"][0].pop("nested"),
        lambda found: found["views"]["process"].extend(found["views"]["process"] * 1000),
        lambda found: found["left_out"].update(file=None),
    ],
)
def test_what_is_no_snapshot_is_refused(synthetic, change) -> None:
    found = good(synthetic)
    assert snapshot(json.dumps(found).encode()) is not None
    change(found)
    assert snapshot(json.dumps(found).encode()) is None


def test_a_snapshot_of_a_run_that_calls_its_version_otherwise(synthetic) -> None:
    found = good(synthetic)
    earlier = dict(found, version=found["schema_version"])
    del earlier["schema_version"]
    assert snapshot(json.dumps(earlier).encode()) == snapshot(json.dumps(found).encode())


@pytest.mark.parametrize("line", [b"", b"{", b"[" * 100_000, b"7", b"null", b'{"version":1}', b"\xff"])
def test_no_line_makes_a_reader_fail(line: bytes) -> None:
    assert snapshot(line) is None


@pytest.mark.parametrize("answer", [b"no snapshot\n", b"x" * (9 << 20)])
def test_a_run_that_says_anything(start, tmp_path: Path, answer: bytes) -> None:
    start("4711", lambda *_: answer)
    look = WatchedRun(SystemPaths(tmp_path), "4711")
    with pytest.raises(DatacrumbsError, match="no snapshot"):
        look.ask()
    look.close()


def test_a_run_that_ends_at_once(start, tmp_path: Path) -> None:
    live = start()
    look = WatchedRun(SystemPaths(tmp_path), "4711")
    live.end()
    assert look.ask()["state"] == "ended"  # it was told at the end
    assert look.ended
    look.close()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "run/datacrumbs/datacrumbs-4712.sock"))
    listener.listen()
    look = WatchedRun(SystemPaths(tmp_path), "4712")
    look.question()
    listener.close()  # before it was taken
    with pytest.raises(DatacrumbsError, match="run 4712 ended before it answered"):
        look.ask()
    look.close()


def test_a_run_does_not_pass_for_another(start, tmp_path: Path) -> None:
    start("4711", lambda writer, state: writer.snapshot(state).replace(b'"4711"', b'"4712"'))
    assert "no snapshot" in top(tmp_path, "4711", "--once").stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_a_directory_that_is_not_there(tmp_path: Path, as_nobody) -> None:
    tmp_path.chmod(0o755)
    assert "no run 4711 of yours" in as_nobody(lambda: WatchedRun(SystemPaths(tmp_path), "4711"))

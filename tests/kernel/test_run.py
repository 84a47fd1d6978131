"""A run from its beginning to its end: limits, losses in time, two processes, and each of them gone."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import datacrumbs
from datacrumbs.daemon.identity import tracing_id
from datacrumbs.testing import Installation, RunningDaemon, read_lines

from ..waiting import until  # noqa: TID252 - a helper of all tests
from .conftest import COMMANDS, NOBODY
from .workloads import accounted, writer_of, writes

pytestmark = pytest.mark.kernel

FILES = 5003


def status(process: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {line.split(":")[0]: line.split()[1:] for line in lines}


def stem_of(daemon: RunningDaemon) -> str:
    return daemon.trace.name.removesuffix(".pfw.gz")


def test_duration(installation: Installation, probes: Path) -> None:
    with installation.daemon(probes, arguments=["--duration", "3"]) as daemon:
        daemon.wrap(*writes(23))
        assert daemon.process.wait(300) == 0
    trace = read_lines(daemon.trace)
    assert len([call for call in trace.named("write") if call["args"]["ret"] == 1]) == 23
    assert trace.provenance["ended_by"] == "duration"
    assert not daemon.ready.exists()


@pytest.mark.parametrize("option", ["--duration", "--rotate-size", "--max-size"])
@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_limit_that_is_none(installation: Installation, probes: Path, option: str, value: str) -> None:
    done = installation.command("datacrumbs", option, value, probes)
    assert done.returncode == 2
    assert f"argument {option}: " in done.stderr
    assert "; expected " in done.stderr


def test_run_goes_on_in_other_files_and_all_are_one(place: Installation, probes: Path) -> None:
    (place.prefix / "etc/datacrumbs/datacrumbs.yaml").write_text("flush_seconds: 0.1\nrotate_megabytes: 1\n")
    with place.daemon(probes) as daemon:
        for number in range(1, 4):
            daemon.wrap(*writes(200003))
            until((daemon.trace.parent / f"{stem_of(daemon)}.{number}.pfw.gz").exists)
        assert daemon.stop() == 0
    stem = stem_of(daemon)
    files = sorted(daemon.trace.parent.glob("*.pfw.gz"))
    assert len(files) >= 3
    assert {file.name for file in files} == {f"{stem}.pfw.gz"} | {f"{stem}.{n}.pfw.gz" for n in range(1, len(files))}
    assert f"and {len(files) - 1} more files" in daemon.log.read_text()
    parts = [read_lines(file) for file in files]
    assert sum(call["args"]["ret"] == 1 for part in parts for call in part.named("write")) == 3 * 200003
    report = subprocess.run([COMMANDS / "datacrumbs_report", "--json", *files], capture_output=True, check=True)
    assert all(trace["complete"] for trace in json.loads(report.stdout)["traces"])
    last = next(part for part in parts if part.counts)
    assert last.footer["entered"] == last.footer["recorded"] + last.footer["unmatched"]


def test_run_ends_when_its_files_are_as_big_as_they_may_be(installation: Installation, probes: Path) -> None:
    """However late the daemon looks, and however much waits in the ring by then."""
    with installation.daemon(probes, arguments=["--max-size", "1"]) as daemon:
        os.kill(writer_of(daemon), signal.SIGSTOP)
        assert daemon.wrap(*writes(500009)).returncode == 0
        os.kill(writer_of(daemon), signal.SIGCONT)
        assert daemon.process.wait(300) == 0
    trace = read_lines(daemon.trace)
    assert trace.provenance["ended_by"] == "size"
    assert 1_000_000 <= daemon.trace.stat().st_size < 2_000_000
    assert trace.footer["lost_beyond_size"] > 0
    count = trace.counts["write"]
    assert count["entered"] == count["lost_beyond_size"] + count["counted"] + len(trace.named("write")) == 500009
    assert trace.footer["entered"] == trace.footer["lost_beyond_size"] + accounted(trace.footer)


def test_losses_say_when(place: Installation, probes: Path) -> None:
    """The writer is held, so that a small ring overflows twice; the notes add up to the footer."""
    settings = "call_ring_mib: 1\nguard_ring_percent: 100\nflush_seconds: 0.1\n"
    (place.prefix / "etc/datacrumbs/datacrumbs.yaml").write_text(settings)
    with place.daemon(probes) as daemon:
        for turn in range(2):
            os.kill(writer_of(daemon), signal.SIGSTOP)
            daemon.wrap(*writes(20011))
            os.kill(writer_of(daemon), signal.SIGCONT)
            daemon.wait_for("datacrumbs_note", turn + 1)
        trace = daemon.lines()
    notes = [line["args"] for line in trace.metadata if line["name"] == "datacrumbs_note"]
    lost = [note for note in notes if note["event"] == "lost"]
    assert trace.footer["lost_ring_full"] == sum(note["calls"] for note in lost) > 20011
    assert all(note["cause"] == "ring_full" for note in lost)
    of_writes = [note for note in lost if note["symbol"] == "write"]
    assert trace.counts["write"]["lost_ring_full"] == sum(note["calls"] for note in of_writes)
    assert len({note["begin"] for note in of_writes}) >= 2
    assert all(note["begin"] < note["end"] for note in of_writes)


def test_calls_are_added_up_when_nothing_can_be_loaded_any_more(installation: Installation) -> None:
    site = "mode: profile\ncapture_probes: [{provider: sys, functions: write}]\n"
    with installation.daemon(installation.probes(site)) as daemon:
        until(lambda: status(daemon.process.pid)["Seccomp_filters"] == ["2"])
        daemon.wrap(*writes(1009))
        daemon.stop()
    trace = read_lines(daemon.trace)
    profiles = [line["args"] for line in trace.metadata if line["name"] == "datacrumbs_profile"]
    counts = trace.counts["write"]
    assert sum(line["count"] for line in profiles) == counts["counted_profile"] == counts["entered"] >= 1009


def test_writer_has_no_privileges_and_few_descriptors(installation: Installation, probes: Path) -> None:
    with installation.daemon(probes) as daemon:
        until(lambda: status(daemon.process.pid)["Seccomp_filters"] == ["2"])  # with what it gives up last: to load
        writer, tracer = status(writer_of(daemon)), status(daemon.process.pid)
        links = [str(entry.readlink()) for entry in Path(f"/proc/{writer_of(daemon)}/fd").iterdir()]
        number, session = writer_of(daemon), os.getsid(writer_of(daemon))
        inputs = [str(Path(f"/proc/{process}/fd/0").readlink()) for process in (number, daemon.process.pid)]
    assert set(writer["Uid"] + writer["Gid"]) == {str(NOBODY)}
    assert writer["Groups"] == []
    assert {writer[key][0] for key in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {"0" * 16}
    assert set(tracer["Uid"] + tracer["Gid"]) == {str(tracing_id())}
    assert tracer["Groups"] == writer["Groups"]
    assert writer["NoNewPrivs"] == tracer["NoNewPrivs"] == ["1"]
    assert writer["CapBnd"] == tracer["CapBnd"] == ["0" * 16]
    assert writer["Seccomp"] == tracer["Seccomp"] == ["2"]
    assert inputs == ["/dev/null"] * 2
    assert session == number
    # The two rings, two maps of memory each; Python keeps a descriptor for each.
    assert sorted(link for link in links if link.startswith("anon_inode")) == ["anon_inode:bpf-map"] * 5
    assert [link for link in links if link.startswith("/") and link.endswith(".pfw.gz")] == [os.fspath(daemon.trace)]
    # BPF, PERFMON and KILL alone.
    assert int(tracer["CapEff"][0], 16) == 1 << 39 | 1 << 38 | 1 << 5


TRIED = """
import os, resource, signal, sys
process = int(sys.argv[1])
kinds = {
    "memory": lambda: open(f"/proc/{process}/mem", "rb"),
    "maps": lambda: open(f"/proc/{process}/maps", "rb"),
    "descriptors": lambda: os.listdir(f"/proc/{process}/fd"),
    "limits": lambda: resource.prlimit(process, resource.RLIMIT_CPU, (1, 1)),
    "signal": lambda: os.kill(process, signal.SIGSTOP),
    "descriptor": lambda: signal.pidfd_send_signal(os.pidfd_open(process), signal.SIGKILL),
    "priority": lambda: os.setpriority(os.PRIO_PROCESS, process, 19),
}
for name in sys.argv[2:]:
    try:
        kinds[name]()
        print(name, "done")
    except PermissionError:
        print(name, "refused")
"""
LOOKING = ("memory", "maps", "descriptors")
HARMING = ("limits", "signal", "descriptor", "priority")


def test_nobody_does_anything_to_the_process_that_traces(installation: Installation, probes: Path) -> None:
    """The run's user can neither look into it nor end it; one of its own id, if there were any, could not look."""
    with installation.daemon(probes) as daemon:
        process = str(daemon.process.pid)
        until(lambda: status(daemon.process.pid)["Seccomp"] == ["2"])
        for identity, kinds in ((NOBODY, (*LOOKING, *HARMING)), (tracing_id(), LOOKING)):
            done = subprocess.run(
                ["setpriv", f"--reuid={identity}", f"--regid={identity}", "--clear-groups",
                 sys.executable, "-I", "-c", TRIED, process, *kinds],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert done.stdout.split() == [word for kind in kinds for word in (kind, "refused")]
        assert daemon.stop() == 0


def test_writer_is_gone(installation: Installation, probes: Path) -> None:
    """Nothing of the program that is traced fails; what was flushed is readable; the daemon says what happened."""
    with installation.daemon(probes) as daemon:
        assert daemon.wrap(*writes(10007)).returncode == 0
        daemon.wait_for("write", 10007)
        os.kill(writer_of(daemon), signal.SIGKILL)
        assert daemon.wrap(*writes(101)).returncode == 0
        assert daemon.process.wait(300) == 1
    assert "the process that writes the trace ended before the run did" in daemon.log.read_text()
    assert "Traceback" not in daemon.log.read_text()
    lines = gzip.decompress(daemon.trace.read_bytes()).decode().splitlines()
    assert sum('"name":"write"' in line for line in lines) == 10007
    assert not daemon.ready.exists()


def test_tracing_process_is_gone(installation: Installation, probes: Path) -> None:
    """The writer writes what the ring holds, at once, and ends."""
    with installation.daemon(probes) as daemon:
        writer = writer_of(daemon)
        os.kill(writer, signal.SIGSTOP)
        daemon.wrap(*writes(10007))
        daemon.process.kill()
        daemon.process.wait()
        os.kill(writer, signal.SIGCONT)
        stat = Path(f"/proc/{writer}/stat")
        until(lambda: not stat.exists() or " Z " in stat.read_text())
    lines = gzip.decompress(daemon.trace.read_bytes()).decode().splitlines()
    assert sum('"name":"write"' in line for line in lines) == 10007
    until(lambda: not daemon.ready.exists())


def test_stop_again_does_not_wait_for_a_writer_that_hangs(installation: Installation, probes: Path) -> None:
    with installation.daemon(probes) as daemon:
        daemon.wrap(*writes(101))
        os.kill(writer_of(daemon), signal.SIGSTOP)
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_taken(signal.SIGTERM)
        assert daemon.process.poll() is None
        assert daemon.stop(signal.SIGTERM) == 1
    assert "stopped again before the trace was complete" in daemon.log.read_text()


def test_profiles_of_many_files_come_whole(installation: Installation, probes: Path, tmp_path: Path) -> None:
    """More than a socket takes at once, told while the writer is held and again at the end."""
    each = f"[open(f'{tmp_path}/{{number}}', 'wb', 0).write(b'x') for number in range({FILES})]"
    tmp_path.chmod(0o777)
    with installation.daemon(probes, arguments=["--mode", "profile"]) as daemon:
        os.kill(writer_of(daemon), signal.SIGSTOP)
        assert daemon.wrap(sys.executable, "-I", "-c", each).returncode == 0
        os.kill(writer_of(daemon), signal.SIGCONT)
        assert daemon.stop() == 0
    trace = read_lines(daemon.trace)
    profiles = [line["args"] for line in trace.metadata if line["name"] == "datacrumbs_profile"]
    assert len({line["fhash"] for line in profiles if line.get("bytes") == 1}) == FILES
    assert sum(line["count"] for line in profiles) == trace.footer["counted"] == trace.footer["entered"]


def test_an_installation_that_only_root_may_read(place: Installation, probes: Path, tmp_path: Path) -> None:
    """The process that writes has no right to it any more when it begins."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "environment").symlink_to(sys.prefix)
    (private / "source").symlink_to(Path(datacrumbs.__file__).parents[1])
    python = private / "environment/bin" / Path(sys.executable).name
    done = subprocess.run(
        [
            python,
            "-c",
            "from datacrumbs.commands._entry import start; exit(start('daemon'))",
            "--prefix",
            place.prefix,
            "--duration",
            "1",
            probes,
            "private",
        ],
        env={"PYTHONPATH": str(private / "source"), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr

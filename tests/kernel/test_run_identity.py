"""A mark belongs to the run that it names: runs of one user beside each other do not mix."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from datacrumbs import client
from datacrumbs.testing import read_lines

from .conftest import COMMANDS
from .workloads import writes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from datacrumbs.testing import Installation, TraceLines

pytestmark = pytest.mark.kernel

JOB = {"SLURM_JOB_ID": "4711"}


def run(*command: str | Path, **environment: str) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.endswith(("_JOB_ID", "_RUN_ID"))}
    subprocess.run(command, check=True, env={**clean, **environment})


def wrap(*words: str | Path, **environment: str) -> None:
    run(COMMANDS / "datacrumbs_wrap", *words, **environment)


def written(trace: TraceLines) -> dict[int, int]:
    """Writes by how many calls of dd's own a process made."""
    counts: dict[int, int] = {}
    for call in trace.named("write"):
        if call["args"]["ret"] == 7:
            counts[call["pid"]] = counts.get(call["pid"], 0) + 1
    return counts


def sizes(trace: TraceLines) -> list[int]:
    return sorted(written(trace).values())


def test_two_runs_and_a_program_that_names_none(installation: Installation, probes: Path) -> None:
    with (
        installation.daemon(probes, f"first-{os.getpid()}") as first,
        installation.daemon(probes, f"second-{os.getpid()}", ["--marks", "named"]) as second,
    ):
        wrap("--run-id", first.run_id, *writes(101, 7))
        wrap("--run-id", second.run_id, *writes(211, 7))
        wrap(f"--run-id={second.run_id}", "--no-preload", *writes(307, 7))
        wrap("--run-id", f"third-{os.getpid()}", *writes(401, 7))
        wrap(*writes(503, 7), DATACRUMBS_RUN_ID=second.run_id, **JOB)
        wrap(*writes(601, 7))
    # Other runs of this user may be there, whose programs name none either.
    assert set(sizes(first.lines())) & {101, 211, 307, 401, 503, 601} == {101, 601}
    assert sizes(second.lines()) == [211, 307, 503]


def test_a_process_in_two_runs_is_in_both_and_so_are_its_children(installation: Installation, probes: Path) -> None:
    """What is recorded inside a job, beside the job's own run."""
    with (
        installation.daemon(probes, f"job-{os.getpid()}", ["--marks", "named"]) as job,
        installation.daemon(probes, f"inner-{os.getpid()}", ["--marks", "named"]) as inner,
    ):
        inside = f"{' '.join(writes(103, 7))}; {' '.join(writes(211, 7))}"
        script = f"{' '.join(writes(29, 7))}; {COMMANDS}/datacrumbs_wrap --run-id {inner.run_id} sh -c '{inside}'"
        wrap("--run-id", job.run_id, "sh", "-c", script)
    assert sizes(job.lines()) == [29, 103, 211]
    assert sizes(inner.lines()) == [103, 211]


def test_a_command_that_is_recorded_inside_a_job_is_in_both(
    installation: Installation, probes: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "own.pfw.gz"
    record = f"{COMMANDS}/datacrumbs_record --prefix {installation.prefix} --providers sys --no-report -o {trace}"
    inside = f"{' '.join(writes(107, 7))}; {' '.join(writes(223, 7))}"
    with installation.daemon(probes, f"outer-{os.getpid()}", ["--marks", "named"]) as job:
        script = f"{' '.join(writes(31, 7))}; {record} -- sh -c '{inside}'; {' '.join(writes(37, 7))}"
        wrap("--run-id", job.run_id, "sh", "-c", script)
    assert sizes(job.lines()) == [31, 37, 107, 223]
    assert sizes(read_lines(trace)) == [107, 223]


@pytest.mark.parametrize(
    ("job", "run_id", "process"),
    [
        ({"SLURM_JOB_ID": "4711"}, "4711", {"SLURM_JOB_ID": "4711", "FLUX_JOB_ID": "fnone"}),
        ({"FLUX_JOB_ID": "\u0192uzzybunny"}, "fuzzybunny", {"FLUX_JOB_ID": "\u0192uzzybunny"}),
        ({"FLUX_JOB_ID": "\u0192uzzybunny"}, "fuzzybunny", {"FLUX_JOB_ID": "fuzzybunny"}),
        ({"FLUX_JOB_ID": "6787342413402046"}, "fuzzybunny", {"FLUX_JOB_ID": "\u0192uzzybunny"}),
        ({"FLUX_JOB_ID": "6787342413402046"}, "fuzzybunny", {"FLUX_JOB_ID": "6787342413402046"}),
        ({"PBS_JOBID": "13.server"}, "13.server", {"PBS_JOBID": "13.server"}),
        ({"LSB_JOBID": "13"}, "13", {"LSB_JOBID": "13"}),
    ],
)
def test_a_job_has_its_processes_and_no_others(
    installation: Installation, probes: Path, job: Mapping[str, str], run_id: str, process: Mapping[str, str]
) -> None:
    with installation.daemon(probes, run_id, env={**os.environ, **job}) as daemon:
        wrap(*writes(101, 7), **process)
        wrap(*writes(211, 7))
        wrap(*writes(307, 7), **{key: f"{value}1" for key, value in process.items()})
        trace = daemon.lines()
    daemon.trace.unlink()  # another job of this id is to come
    assert sizes(trace) == [101]


@pytest.mark.parametrize("compiler", ["cc", "musl-gcc"])
def test_a_program_that_stops_and_starts_by_itself_means_the_same_run(
    installation: Installation, probes: Path, tmp_path: Path, compiler: str
) -> None:
    source = tmp_path / "program.c"
    source.write_text(
        "#include <fcntl.h>\n#include <unistd.h>\n#include <datacrumbs.h>\n"
        'int main(void) { int file = open("/dev/null", O_WRONLY); int i;\n'
        'for (i = 0; i < 101; i++) (void)!write(file, "1234567", 7);\n'
        'datacrumbs_stop();\nfor (i = 0; i < 211; i++) (void)!write(file, "1234567", 7);\n'
        'datacrumbs_start();\nfor (i = 0; i < 307; i++) (void)!write(file, "1234567", 7);\nreturn 0; }\n'
    )
    library = client.client_library()
    include = library.parents[2] / "include"
    options = [f"-I{include}", f"-L{library.parent}", "-ldatacrumbs_client", f"-Wl,-rpath,{library.parent}"]
    subprocess.run([compiler, source, "-o", tmp_path / "program", *options], check=True)
    with installation.daemon(probes, arguments=["--marks", "named"]) as daemon:
        run(tmp_path / "program", DATACRUMBS_RUN_ID=daemon.run_id)
        run(tmp_path / "program", DATACRUMBS_RUN_ID=f"{daemon.run_id}1")
        run(tmp_path / "program", DATACRUMBS_RUN_ID=daemon.run_id[:-1])
        run(tmp_path / "program", DATACRUMBS_RUN_ID="x" * 5003)
        run(tmp_path / "program")
    assert sizes(daemon.lines()) == [101 + 307]

"""`datacrumbs_sbatch`, `datacrumbs_salloc` and `datacrumbs_srun` before a stand-in for SLURM's command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

SCRIPTS = Path(sysconfig.get_path("scripts"))
FILE = "/absent/probes.json.gz"
META = {"enable": "yes", "probe_file": FILE}
EXACT = f'--comment={{"datacrumbs":{{"enable":"yes","probe_file":"{FILE}"}}}}'
STAND_IN = """#!{python}
import json, os, signal, sys
words = [sys.argv[0].rpartition("/")[2], *sys.argv[1:]]
document = {{"words": words, "input": sys.stdin.buffer.read().hex() if "read" in os.environ else ""}}
document["pipe"] = open("/proc/self/status").read().partition("SigIgn:")[2].split()[0]
open({out!r}, "w").write(json.dumps(document))
if "die" in os.environ:
    os.kill(os.getpid(), signal.SIGTERM)
sys.exit(37)
"""
AWKWARD = [
    "--job-name=a 'b' \"c\" = d\nü",
    "-D",
    "/srv",
    "--export=A=b,C=\udcff",
    "job.sh",
    "--comment=its own",
    "",
    "-n",
    "x=y",
]

Submit = "Callable[..., dict]"


@pytest.fixture
def submit(tmp_path: Path) -> Submit:
    """Run one of the commands; gives what the stand-in was started with."""
    for name in ("sbatch", "salloc", "srun"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        # An interpreter's own handling of SIGPIPE would hide what it was started with.
        program.write_text(STAND_IN.format(python=sys.executable, out=str(tmp_path / "out")))
        program.chmod(0o755)
    (tmp_path / "job.sh").write_text("#!/bin/sh\ntrue\n")

    def run(name: str, *words: str, status: int = 37, given: bytes | None = None, **environment: str) -> dict:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "DATACRUMBS_"))}
        done = subprocess.run(
            [SCRIPTS / f"datacrumbs_{name}", *words],
            check=False, cwd=tmp_path, input=given, capture_output=True, timeout=300,
            env=clean | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"} | environment,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        assert done.stdout == b""
        out = tmp_path / "out"
        found = json.loads(out.read_text()) if out.exists() else {}
        out.unlink(missing_ok=True)
        return found | {"said": done.stderr.decode()}

    return run


def metadata(word: str) -> dict:
    return json.loads(word.removeprefix("--comment="))


@pytest.mark.parametrize("name", ["sbatch", "salloc", "srun"])
def test_everything_else_passes_unchanged(submit: Submit, name: str) -> None:
    found = submit(name, f"--datacrumbs-probe-file={FILE}", *AWKWARD)
    assert found["words"] == [name, EXACT, *AWKWARD]
    assert "no such file here" in found["said"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--datacrumbs-probe-file", FILE, "-n2", "job.sh"], [EXACT, "-n2", "job.sh"]),
        (["-n", "2", "--datacrumbs-enable", "--datacrumbs-probe-file", FILE, "job.sh"], [EXACT, "-n", "2", "job.sh"]),
        (["--datacrumbs-enable=no", "--comment=x", "job.sh"], ["--comment=x", "job.sh"]),
        (["-J", "no", "--datacrumbs-enable", "no", "--comment=x", "job.sh"], ["-J", "no", "--comment=x", "job.sh"]),
        (["--datacrumbs-probe-file", FILE, "--", "job.sh"], [EXACT, "--", "job.sh"]),
        (["--datacrumbs-probe-file", FILE, "--comment"], ["--comment"]),
    ],
)
def test_our_options(submit: Submit, words: list[str], expected: list[str]) -> None:
    assert submit("sbatch", *words, given=b"")["words"][1:] == expected


def test_the_file_by_environment_and_by_a_relative_path(submit: Submit, tmp_path: Path) -> None:
    assert submit("sbatch", "job.sh", DATACRUMBS_PROBE_FILE=FILE)["words"][1] == EXACT
    found = submit("sbatch", "job.sh", DATACRUMBS_PROBE_FILE="p.json.gz")
    assert metadata(found["words"][1])["datacrumbs"]["probe_file"] == f"{tmp_path}/p.json.gz"


@pytest.mark.parametrize("own", ["mine", "a 'b' \"c\" = d\nü", "[1]", "{cut"])
@pytest.mark.parametrize("form", [["--comment={}"], ["--comment", "{}"], ["--comm={}"]])
def test_a_comment_on_the_command_line(submit: Submit, own: str, form: list[str]) -> None:
    words = [own if word == "{}" else word.replace("{}", own) for word in form]
    found = submit("sbatch", "-v", "--comment=former", *words, "job.sh", DATACRUMBS_PROBE_FILE=FILE)["words"]
    assert found[:3] == ["sbatch", "-v", "--comment=former"]
    assert metadata(found[3]) == {"comment": own, "datacrumbs": META}
    assert found[4:] == ["job.sh"]


def test_a_comment_in_the_script(submit: Submit, tmp_path: Path) -> None:
    script = '#!/bin/sh\n#SBATCH -n 2 --comment=\'{"project": "x y"}\'\n'
    (tmp_path / "job.sh").write_text(script)
    found = submit("sbatch", "job.sh", DATACRUMBS_PROBE_FILE=FILE)["words"]
    assert metadata(found[1]) == {"project": "x y", "datacrumbs": META}
    found = submit("sbatch", "--comment=line", "job.sh", DATACRUMBS_PROBE_FILE=FILE)["words"]
    assert metadata(found[1]) == {"comment": "line", "datacrumbs": META}
    found = submit("sbatch", "--wrap", "job.sh", DATACRUMBS_PROBE_FILE=FILE)["words"]
    assert found == [
        "sbatch",
        EXACT,
        "--wrap",
        "job.sh",
    ]


@pytest.mark.parametrize("text", [b"#!/bin/sh\n#SBATCH --comment=mine\n" + b"# \xff\n" * 40000, b""])
def test_a_script_on_standard_input_is_still_there(submit: Submit, text: bytes) -> None:
    found = submit("sbatch", "-n2", DATACRUMBS_PROBE_FILE=FILE, given=text, read="1")
    assert bytes.fromhex(found["input"]) == text
    assert metadata(found["words"][1]) == ({"comment": "mine"} if text else {}) | {"datacrumbs": META}


def test_standard_input_of_a_program_is_not_touched(submit: Submit) -> None:
    found = submit("srun", "cat", DATACRUMBS_PROBE_FILE=FILE, given=b"data", read="1")
    assert bytes.fromhex(found["input"]) == b"data"


def test_each_component_asks_for_tracing(submit: Submit) -> None:
    found = submit("salloc", "-n1", ":", "--comment=b", "-n2", "sh", DATACRUMBS_PROBE_FILE=FILE)["words"]
    assert found[1:4] == [EXACT, "-n1", ":"]
    assert metadata(found[4]) == {"comment": "b", "datacrumbs": META}


@pytest.mark.parametrize(("words", "environment"), [(["app"], {"SLURM_JOB_ID": "7"}), (["--jobid=7", "app"], {})])
def test_a_step_of_a_job_is_left_alone(submit: Submit, words: list[str], environment: dict) -> None:
    assert submit("srun", *words, DATACRUMBS_PROBE_FILE=FILE, **environment)["words"] == ["srun", *words]
    assert submit("sbatch", "job.sh", DATACRUMBS_PROBE_FILE=FILE, SLURM_JOB_ID="7")["words"][1] == EXACT


def test_signals_are_as_they_were(submit: Submit) -> None:
    found = submit("srun", "app", status=-signal.SIGTERM, DATACRUMBS_PROBE_FILE=FILE, die="1")
    assert found["words"] == ["srun", EXACT, "app"]


def test_what_cannot_be_submitted(submit: Submit, tmp_path: Path) -> None:
    assert "no probe file" in submit("sbatch", "job.sh", status=2)["said"]
    found = submit("sbatch", '--comment={"datacrumbs":{}}', "job.sh", status=2, DATACRUMBS_PROBE_FILE=FILE)
    assert "already" in found["said"]
    found = submit("sbatch", "job.sh", status=3, DATACRUMBS_PROBE_FILE=str(tmp_path / "job.sh"))
    assert "not a probe file" in found["said"]
    for name in ("sbatch", "salloc", "srun"):
        (tmp_path / "bin" / name).unlink()
    found = submit("srun", "app", status=1, PATH=f"{tmp_path}/bin", DATACRUMBS_PROBE_FILE=FILE)
    assert "no such command here" in found["said"]

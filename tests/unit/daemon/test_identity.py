"""Run ids and trace paths: plain names only, whatever the environment says."""

from __future__ import annotations

from pathlib import Path

import pytest

from datacrumbs.daemon.identity import is_job, names_of, run_id, trace_name
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.system import SystemConfiguration

_CONFIGURATION = SystemConfiguration(trace_log_dir=Path("/traces"))


def test_argument_then_job_then_time() -> None:
    assert run_id("mine", {"SLURM_JOB_ID": "7"}, 0) == "mine"
    assert run_id(None, {"SLURM_JOB_ID": "7"}, 0) == "7"
    assert run_id(None, {"FLUX_JOB_ID": "f2x"}, 0) == "f2x"
    assert run_id(None, {}, 86400 * 365).startswith("197")


def test_a_run_is_a_jobs_where_its_id_is_not_given() -> None:
    assert is_job(None, {"PBS_JOBID": "7"})
    assert not is_job("7", {"PBS_JOBID": "7"})
    assert not is_job(None, {"PBS_JOBID": ""})


FORMS = ("\u0192uzzybunny", "fuzzybunny", "6787342413402046", "0x181d0d4d850fbe", "0018.1d0d.4d85.0fbe")


@pytest.mark.parametrize("form", FORMS)
def test_a_job_of_flux_is_meant_in_each_of_its_forms(form: str) -> None:
    environment = {"FLUX_JOB_ID": form}
    names = names_of(run_id(None, environment, 0), environment)
    numbers = set() if form in FORMS[:2] else set(FORMS[2:])
    assert set(names) == {*FORMS[:2], *numbers}
    assert all(run_id(None, {"FLUX_JOB_ID": name}, 0) == "fuzzybunny" for name in names)


def test_other_runs_are_meant_by_their_id_alone() -> None:
    assert names_of("mine", {}) == ("mine",)
    assert names_of("4711", {"SLURM_JOB_ID": "4711"}) == ("4711",)
    assert len(names_of("f" * 64, {})) == 1


@pytest.mark.parametrize("bad", ["", "..", "../x", "a/b", "a b", "$(id)", "a\nb", "-x", "x" * 65, ".hidden", "é"])
def test_names_that_are_not_plain(bad: str) -> None:
    with pytest.raises(DatacrumbsError) as caught:
        run_id(bad, {}, 0)
    assert caught.value.exit_code is ExitCode.USAGE
    with pytest.raises(DatacrumbsError):
        run_id(None, {"SLURM_JOB_ID": bad or " "}, 0)


def test_trace_name_is_below_the_directory() -> None:
    name = trace_name(_CONFIGURATION, user="../../etc", run="7", host="n/1", probes=Path("/x/$(id).json.gz"), now=0.0)
    assert name[0] == "_.._etc"
    assert all("/" not in part and part not in {".", ".."} for part in name)
    assert name[-1] == "__id_-7-n_1.pfw.gz"


@pytest.mark.parametrize(
    "pattern", ["/abs.pfw.gz", "../x.pfw.gz", "{nope}.pfw.gz", "x.gz", "", "{user.__class__}.pfw.gz"]
)
def test_bad_patterns(pattern: str) -> None:
    configuration = SystemConfiguration(trace_log_dir=Path("/traces"), trace_pattern=pattern)
    with pytest.raises(DatacrumbsError):
        trace_name(configuration, user="u", run="1", host="h", probes=Path("p"), now=0.0)


@pytest.mark.parametrize(
    "form",
    [
        "ƒuZZybuNNy",
        "\udcc6\udc92uZZybuNNy",
        "fuZZybuNNy",
        "6731191091817518",
        "0x17e9fb8df16c2e",
        "0017.e9fb.8df1.6c2e",
        "job.0017.e9fb.8df1.6c2e",
    ],
)
def test_a_job_of_flux_has_one_name_however_its_id_is_written(form: str) -> None:
    assert run_id(None, {"FLUX_JOB_ID": form}, 0) == "fuZZybuNNy"


def test_other_ids_are_taken_as_they_are() -> None:
    assert run_id("ƒ2oXdF3", {}, 0) == "f2oXdF3"
    assert run_id("1234", {}, 0) == "1234"
    assert run_id(None, {"SLURM_JOB_ID": "0x10"}, 0) == "0x10"
    assert run_id(None, {"FLUX_JOB_ID": "0"}, 0) == "f1"
    assert run_id(None, {"FLUX_JOB_ID": "99999999999999999999"}, 0) == "9" * 20
    with pytest.raises(DatacrumbsError, match=r"FLUX_JOB_ID: 'f\.\./x' may contain only letters"):
        run_id(None, {"FLUX_JOB_ID": "ƒ../x"}, 0)

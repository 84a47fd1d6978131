"""What a prolog's environment says of a job, and what its control group may be called."""

from __future__ import annotations

import pytest

from datacrumbs.errors import DatacrumbsError
from datacrumbs.jobs.slurm_job import slurm_job

EARLIER = {"SLURM_JOB_ID": "4711", "SLURM_JOB_UID": "1000", "SLURMD_NODENAME": "n1"}
NEWER = EARLIER | {"SLURM_JOB_SLUID": "sEKNKTV3WPV500"}


def test_its_group_has_its_number() -> None:
    assert slurm_job(EARLIER).groups == ("n1_slurmstepd.scope/job_4711", "slurmstepd.scope/job_4711")


def test_its_group_has_its_number_or_its_lasting_id() -> None:
    assert slurm_job(NEWER).groups == (
        "n1_slurmstepd.scope/job_4711",
        "n1_slurmstepd.scope/sEKNKTV3WPV500",
        "slurmstepd.scope/job_4711",
        "slurmstepd.scope/sEKNKTV3WPV500",
    )
    assert (slurm_job(NEWER).run, slurm_job(NEWER).note) == ("4711", "slurm-4711")


@pytest.mark.parametrize("word", ["", "sEKNKTV3WPV50", "sEKNKTV3WPV5000", "sEKNKTV3WPV50/", "sEKNKTV3WPVI00", "job_1"])
def test_what_is_no_lasting_id_names_no_group(word: str) -> None:
    assert slurm_job(EARLIER | {"SLURM_JOB_SLUID": word}).groups == slurm_job(EARLIER).groups


@pytest.mark.parametrize("name", ["SLURM_JOB_ID", "SLURM_JOB_UID"])
@pytest.mark.parametrize("value", ["", "x", "-1", "1/2", "\u0661", "1" * 21])
def test_what_names_no_job(name: str, value: str) -> None:
    with pytest.raises(DatacrumbsError, match=f"{name}: .* is not a number"):
        slurm_job(EARLIER | {name: value})

"""Ranks from the variables of launchers, as they set them."""

from __future__ import annotations

import pytest

from datacrumbs.trace.ranks import Rank, rank_of, starts_ranks

OPENMPI = {"OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_SIZE": "7", "OMPI_COMM_WORLD_LOCAL_RANK": "2"}
STEP = {"SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "3", "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NTASKS": "7"}
FLUX = {"FLUX_JOB_ID": "ƒ2bGvRkQe", "FLUX_TASK_RANK": "5", "FLUX_TASK_LOCAL_ID": "1", "FLUX_JOB_SIZE": "7"}
PMI = {"PMI_RANK": "5", "PMI_SIZE": "7"}


def environment(*parts: dict[str, str]) -> str:
    return "".join(f"{name}={value}\0" for part in parts for name, value in part.items())


@pytest.mark.parametrize(
    ("parts", "rank"),
    [
        ([OPENMPI, {"PMIX_RANK": "5"}], Rank("", None, 5, 2, 7, "openmpi")),
        # mpirun within a step: the step's task is the daemon that started the rank.
        ([{**STEP, "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, OPENMPI], Rank("4711", None, 5, 2, 7, "openmpi")),
        ([{**STEP, "SLURM_PROCID": "5"}, OPENMPI], Rank("4711", None, 5, 2, 7, "openmpi")),
        ([PMI, {"MPI_LOCALRANKID": "2"}], Rank("", None, 5, 2, 7, "pmi")),
        ([{**STEP, "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, PMI], Rank("4711", None, 5, None, 7, "pmi")),
        ([STEP, PMI], Rank("4711", 3, 5, 1, 7, "pmi")),
        ([STEP, {"PMIX_RANK": "5"}], Rank("4711", 3, 5, 1, 7, "pmix")),
        ([STEP], Rank("4711", 3, 5, 1, 7, "slurm")),
        ([STEP, {"SLURM_STEP_NUM_TASKS": "6"}], Rank("4711", 3, 5, 1, 6, "slurm")),
        ([FLUX], Rank("f2bGvRkQe", None, 5, 1, 7, "flux")),
        ([FLUX, PMI], Rank("f2bGvRkQe", None, 5, 1, 7, "pmi")),
        # A batch script.
        ([{"SLURM_JOB_ID": "4711", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}], Rank("4711")),
        ([{**STEP, "SLURM_STEP_ID": "4294967291"}], Rank("4711")),
        ([], Rank()),
    ],
)
def test_launchers(parts: list[dict[str, str]], rank: Rank) -> None:
    assert rank_of(environment(*parts)) == rank


@pytest.mark.parametrize(
    "value", ["", "-1", "+1", " 1", "1 ", "01", "0x1", "1_0", "1e3", "\u0661", "99999999999", "1\n"]
)
def test_only_plain_numbers(value: str) -> None:
    assert rank_of(environment({"PMI_RANK": value})) == Rank()
    assert rank_of(environment({"SLURM_JOB_ID": value})).job_id == ""


def test_a_size_that_is_no_greater_than_the_rank_is_not_believed() -> None:
    assert rank_of(environment({"PMI_RANK": "7", "PMI_SIZE": "7"})) == Rank("", None, 7, None, None, "pmi")


def test_ids_of_jobs_are_of_flux_or_slurm() -> None:
    for text in ("ƒ", "ƒ0", "ƒ1l", "f1/..", "1f", "ƒ" + "2" * 13):
        assert rank_of(environment({"FLUX_JOB_ID": text})).job_id == ""


def test_the_first_of_two_variables_counts() -> None:
    assert rank_of("PMI_RANK=3\0PMI_RANK=4\0").rank == 3


def test_what_starts_ranks_is_none() -> None:
    numbered = rank_of(environment(STEP))
    assert starts_ranks(numbered, "orted")
    assert not starts_ranks(numbered, "app")
    assert not starts_ranks(rank_of(environment(OPENMPI)), "orted")


def test_described_in_order() -> None:
    described = dict(rank_of(environment(STEP)).described())
    expected = {"rank": "5", "local_rank": "1", "size": "7", "job_id": "4711", "step": "3", "launcher": "slurm"}
    assert list(described.items()) == list(expected.items())
    assert dict(rank_of(environment({"PMI_RANK": "0"})).described()) == {"rank": "0", "launcher": "pmi"}

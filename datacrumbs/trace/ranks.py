"""Which rank of which job a process is, from what its launcher put into its environment."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PROCESS = "PR"
"""Name of a metadata line about a process, as DFTracer writes it: a name and a value."""
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_JOB = re.compile(r"[1-9][0-9]{0,9}|f[1-9A-HJ-NP-Za-km-z]{1,12}", re.ASCII)
_FLUX_SIGN = "\u0192"
"""How job ids of Flux begin, and `f` where that cannot be written."""
_HIGHEST = 0xFFFFFFEF
"""Numbers of ranks and steps above it are not counted ones: SLURM numbers batch scripts and the like from there on."""
_STARTERS = frozenset({"orted", "prted", "prte", "hydra_pmi_proxy", "pmi_proxy"})
"""Programs that a scheduler starts on each node and that start the ranks: what the scheduler numbers are they."""


@dataclass(frozen=True, slots=True)
class _Launcher:
    """The variables of a launcher; empty where it has none."""

    name: str
    rank: str
    size: tuple[str, ...] = ()
    local_rank: str = ""


# MPI's own launchers first: what they start may be started within what a scheduler numbered.
_MPI = (
    _Launcher("openmpi", "OMPI_COMM_WORLD_RANK", ("OMPI_COMM_WORLD_SIZE",), "OMPI_COMM_WORLD_LOCAL_RANK"),
    _Launcher("pmix", "PMIX_RANK"),
    _Launcher("pmi", "PMI_RANK", ("PMI_SIZE",), "MPI_LOCALRANKID"),
)
_SCHEDULERS = (
    _Launcher("slurm", "SLURM_PROCID", ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"), "SLURM_LOCALID"),
    _Launcher("flux", "FLUX_TASK_RANK", ("FLUX_JOB_SIZE",), "FLUX_TASK_LOCAL_ID"),
)


@dataclass(frozen=True, slots=True)
class Rank:
    """What is known of a process; None or empty for what is not."""

    job_id: str = ""
    step: int | None = None
    rank: int | None = None
    local_rank: int | None = None
    size: int | None = None
    launcher: str = ""

    def described(self) -> list[tuple[str, str]]:
        """Names and values of the lines that say so, the rank first."""
        values = [(name, getattr(self, name)) for name in NAMES]
        return [(name, str(value)) for name, value in values if value not in {None, ""}]


NAMES = ("rank", "local_rank", "size", "job_id", "step", "launcher")
"""Of the lines, in their order."""


def rank_of(environment: str) -> Rank:
    """Read variables, each with a zero behind it. What is no plain number is passed over."""
    variables: dict[str, str] = {}
    for entry in environment.split("\0"):
        name, _, value = entry.partition("=")
        variables.setdefault(name, value)
    job_id = _job(variables)
    # A batch script is no step: what SLURM numbers there is no task.
    step = _number(variables, "SLURM_STEP_ID")
    for launcher in (*_MPI, *_SCHEDULERS):
        rank = _number(variables, launcher.rank)
        if rank is None or (launcher.name == "slurm" and step is None):
            continue
        found = Rank(job_id, None, rank, launcher=launcher.name)
        return _completed(found, variables, launcher, step)
    return Rank(job_id, step)


def read_rank(values: Mapping[str, str]) -> Rank:
    """What the lines of a process say of it, by name; what is no plain number is passed over."""
    job_id, launcher = values.get("job_id", ""), values.get("launcher", "")
    return Rank(
        job_id if _JOB.fullmatch(job_id) else "",
        _number(values, "step"),
        _number(values, "rank"),
        _number(values, "local_rank"),
        _number(values, "size"),
        launcher if launcher in {each.name for each in (*_MPI, *_SCHEDULERS)} else "",
    )


def without_rank(rank: Rank) -> Rank:
    """The same job and step, but none of its ranks."""
    return Rank(rank.job_id, rank.step)


def starts_ranks(rank: Rank, program: str) -> bool:
    """Whether a program that a scheduler numbered is no rank but what starts ranks on a node."""
    return program in _STARTERS and rank.launcher in {scheduler.name for scheduler in _SCHEDULERS}


# What a launcher does not say of its ranks, a scheduler says where it numbers the same processes. Open MPI says all,
# and the step that its ranks are in is that of what started them.
def _completed(found: Rank, variables: Mapping[str, str], launcher: _Launcher, step: int | None) -> Rank:
    size = _first_number(variables, launcher.size)
    local_rank = _number(variables, launcher.local_rank)
    agreeing = [scheduler for scheduler in _SCHEDULERS if _numbers_same(scheduler, variables, found.rank, size, step)]
    if agreeing and launcher.name != "openmpi":
        size = _first_number(variables, agreeing[0].size) if size is None else size
        local_rank = _number(variables, agreeing[0].local_rank) if local_rank is None else local_rank
        found = replace(found, step=step)
    if size is not None and found.rank is not None and found.rank >= size:
        size = None
    return replace(found, local_rank=local_rank, size=size)


def _numbers_same(
    scheduler: _Launcher, variables: Mapping[str, str], rank: int | None, size: int | None, step: int | None
) -> bool:
    if scheduler.name == "slurm" and step is None:
        return False
    own_size = _first_number(variables, scheduler.size)
    return _number(variables, scheduler.rank) == rank and (None in {size, own_size} or size == own_size)


def _job(variables: Mapping[str, str]) -> str:
    for name in ("SLURM_JOB_ID", "FLUX_JOB_ID"):
        value = variables.get(name, "")
        value = f"f{value[1:]}" if value.startswith(_FLUX_SIGN) else value
        if _JOB.fullmatch(value):
            return value
    return ""


def _number(variables: Mapping[str, str], name: str) -> int | None:
    text = variables.get(name, "")
    number = int(text) if _NUMBER.fullmatch(text) else None
    return number if number is not None and number <= _HIGHEST else None


def _first_number(variables: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    numbers = (_number(variables, name) for name in names)
    return next((number for number in numbers if number is not None), None)

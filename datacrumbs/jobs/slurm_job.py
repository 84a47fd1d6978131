"""A job of SLURM on this node, as its prolog and epilog see it in their environment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datacrumbs.errors import usage_error
from datacrumbs.jobs.metadata import probe_file_of_comment
from datacrumbs.jobs.node_job import NodeJob

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCOPE = "slurmstepd.scope"
_ID_DIGITS = 20
_LASTING_ID = re.compile(r"s[0-9A-HJKMNP-TV-Z]{13}")  # print_sluid of Slurm


@dataclass(frozen=True, slots=True)
class SlurmJob(NodeJob):
    """One job, on one node.

    Args:
        id: Its number; each task of an array has its own.
        node: What SLURM calls this node.
        comment: What its user said, and the metadata.
        restarts: How often it began before; an epilog would see one more.
        lasting_id: What names it besides from Slurm 25.11 on (SLUID), and from 26.05 on its control group, unless
            ``CgroupJobIdPaths=yes``; empty before.
    """

    node: str = ""
    comment: str = ""
    restarts: int = 0
    lasting_id: str = ""

    SCHEDULER = "slurm"

    @property
    def run(self) -> str:
        """Its run: a trace is never overwritten, so a job that begins again has another one."""
        return f"{self.id}-{self.restarts}" if self.restarts else self.id

    @property
    def scopes(self) -> tuple[str, ...]:
        """What the control group may be called that holds all jobs of this node."""
        return (f"{self.node}_{_SCOPE}", _SCOPE) if self.node else (_SCOPE,)

    @property
    def groups(self) -> tuple[str, ...]:
        """What its control group may be called, with that one before it."""
        names = [f"job_{self.id}", *([self.lasting_id] if self.lasting_id else [])]
        return tuple(f"{scope}/{name}" for scope in self.scopes for name in names)

    def probe_file(self) -> str:
        """By its comment."""
        return probe_file_of_comment(self.comment)


def job_id(environment: Mapping[str, str]) -> str:
    """The job's number, which becomes part of paths.

    Raises:
        DatacrumbsError: (exit 2) when there is none.
    """
    return _number(environment, "SLURM_JOB_ID")


def slurm_job(environment: Mapping[str, str]) -> SlurmJob:
    """The job whose prolog this is.

    Raises:
        DatacrumbsError: (exit 2) when what names it is not there.
    """
    node, lasting = (environment.get(name, "") for name in ("SLURMD_NODENAME", "SLURM_JOB_SLUID"))
    return SlurmJob(
        job_id(environment),
        int(_number(environment, "SLURM_JOB_UID")),
        node if _is_name(node) else "",
        environment.get("SLURM_JOB_COMMENT", ""),
        int(_number(environment, "SLURM_JOB_RESTART_COUNT")) if "SLURM_JOB_RESTART_COUNT" in environment else 0,
        lasting if _LASTING_ID.fullmatch(lasting) else "",
    )


# Of what becomes part of a control group's name.
def _is_name(text: str) -> bool:
    return 0 < len(text) <= 64 and all(letter.isascii() and (letter.isalnum() or letter in "-_.") for letter in text)


def _number(environment: Mapping[str, str], name: str) -> str:
    text = environment.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS):
        raise usage_error(
            f"{name}: {text[:80]!a} is not a number", "SLURM's own prolog and epilog call this; see datacrumbs_setup"
        )
    return text

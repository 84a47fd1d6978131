"""A job of Flux on this node, as its prolog and epilog see it in their environment, and in its jobspec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from datacrumbs.daemon.identity import flux_job_id
from datacrumbs.errors import usage_error
from datacrumbs.jobs.metadata import probe_file_of_jobspec
from datacrumbs.jobs.node_job import NodeJob

if TYPE_CHECKING:
    from collections.abc import Mapping

JOB_ID = "FLUX_JOB_ID"
_UID, _OWNER, _RANK = "FLUX_JOB_USERID", "FLUX_OWNER_USERID", "DATACRUMBS_FLUX_RANK"
_ID_LARGEST = (1 << 32) - 2  # of users, and of brokers: one number means none


@dataclass(frozen=True, slots=True)
class FluxJob(NodeJob):
    """One job, on one node.

    Args:
        id: Its id in the form of names of units (RFC 19): F58 with a plain ``f``.
        jobspec: What it was submitted with (RFC 14), as JSON.
        owner: As which user Flux runs, and so makes control groups; 0 where that is not known.
        rank: Which of Flux's brokers is this node's; None where that is not known.
    """

    jobspec: bytes = b"{}"
    owner: int = 0
    rank: int | None = None

    SCHEDULER = "flux"

    @property
    def groups(self) -> tuple[str, ...]:
        """What its control group may be called: that of its shell, where Flux starts shells as units (sdexec)."""
        if self.rank is None:
            return ()
        above = ("app.slice", f"user@{self.owner}.service")  # before systemd 247 the latter
        return tuple(
            f"{place}/{kind}-{self.rank}-{self.id}.service" for place in above for kind in ("imp-shell", "shell")
        )

    @property
    def group_maker(self) -> int:
        """Whose systemd makes the group."""
        return self.owner

    def probe_file(self) -> str:
        """By its jobspec."""
        return probe_file_of_jobspec(self.jobspec)


def job_id(environment: Mapping[str, str]) -> str:
    """The job's id, which becomes part of paths, in the form of names of units.

    Raises:
        DatacrumbsError: (exit 2) when there is none.
    """
    return flux_job_id(environment.get(JOB_ID, ""))


def flux_job(environment: Mapping[str, str], jobspec: bytes) -> FluxJob:
    """The job whose prolog this is.

    Raises:
        DatacrumbsError: (exit 2) when what names it is not there.
    """
    uid = _number(environment, _UID)
    if uid is None:
        raise usage_error(
            f"{_UID}: {environment.get(_UID, '')[:80]!a} is not a user id",
            "Flux's own prolog calls this; see datacrumbs_setup",
        )
    return FluxJob(job_id(environment), uid, jobspec, _number(environment, _OWNER) or 0, _number(environment, _RANK))


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(_ID_LARGEST)) else None
    return number if number is not None and number <= _ID_LARGEST else None

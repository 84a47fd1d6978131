"""A job of no scheduler: whatever an administrator gives a name, on this node or on many."""

from __future__ import annotations

import pwd
from dataclasses import dataclass

from datacrumbs.daemon.identity import run_id
from datacrumbs.errors import usage_error
from datacrumbs.jobs.metadata import probe_file_of
from datacrumbs.jobs.metadata_section import ENABLE, PROBE_FILE
from datacrumbs.jobs.node_job import NodeJob


@dataclass(frozen=True, slots=True)
class PlainJob(NodeJob):
    """One job, on one node.

    Args:
        probes: Absolute path of its probe file.
    """

    probes: str

    SCHEDULER = "plain"

    def probe_file(self) -> str:
        """By the rules of a job's metadata."""
        return probe_file_of({ENABLE: "yes", PROBE_FILE: self.probes})


def plain_job(name: str, user: str, probes: str) -> PlainJob:
    """The job of these words.

    Raises:
        DatacrumbsError: (exit 2) when one of them is not exactly right.
    """
    job = PlainJob(checked_name(name), _uid(user), probes)
    job.probe_file()
    return job


def checked_name(name: str) -> str:
    """A job's name, which becomes part of paths.

    Raises:
        DatacrumbsError: (exit 2) when it is no plain name.
    """
    return run_id(name, {}, 0)


def _uid(user: str) -> int:
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):  # ValueError: a NUL in it
        raise usage_error(f"{user[:80]!a}: no such user on this host") from None

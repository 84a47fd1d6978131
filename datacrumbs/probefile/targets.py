"""Whether the files and the kernel that a plan was made for are the ones that are here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from datacrumbs.elf.build_id import stream_build_id
from datacrumbs.errors import RECREATE, ExitCode, refusal, reworded
from datacrumbs.secure import file_systems
from datacrumbs.secure.files import open_regular
from datacrumbs.secure.user_rights import rights_of_account

if TYPE_CHECKING:
    from io import BufferedReader

    from datacrumbs.model.plan import Plan, Target


class OpenTargets:
    """The targets of a plan, each checked and then held open, so that what is probed is what was checked.

    Args:
        plan: Whose targets; each must exist and still have its build-id.
        uid: With whose rights files are opened; None for those of this process.

    Raises:
        DatacrumbsError: (exit 3) naming the first target that is missing or has changed.
    """

    def __init__(self, plan: Plan, uid: int | None = None) -> None:
        self._files: dict[Target, BufferedReader] = {}
        try:
            for target in sorted({group.target for group in plan.groups}, key=lambda target: target.path):
                if target.is_kernel:
                    _verify_kernel(target)
                else:
                    with rights_of_account(uid):
                        self._files[target] = open_target(target)
        except BaseException:
            self.close()
            raise

    def path(self, target: Target) -> str:
        """A path to the open file, which leads nowhere else whatever becomes of its name; empty for the kernel."""
        return "" if target.is_kernel else f"/proc/self/fd/{self._files[target].fileno()}"

    @property
    def files(self) -> dict[Target, int]:
        """Descriptors of the open files."""
        return {target: file.fileno() for target, file in self._files.items()}

    @property
    def owners(self) -> dict[Target, int]:
        """User ids of who may change the files."""
        return {target: os.fstat(file.fileno()).st_uid for target, file in self._files.items()}

    def close(self) -> None:
        """Let the files go; idempotent."""
        for file in self._files.values():
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_target(target: Target) -> BufferedReader:
    """Open a target's file and check that it is the one meant.

    Raises:
        DatacrumbsError: (exit 3).
    """
    stream = open_target_file(target)
    try:
        check_build_id(stream, target)
    except BaseException:
        stream.close()
        raise
    return stream


def open_target_file(target: Target) -> BufferedReader:
    """Open what a target's path names, without links and not from a user's program; nothing of it is read.

    Raises:
        DatacrumbsError: (exit 3).
    """
    with reworded("target ", hint=RECREATE, exit_code=ExitCode.REFUSED):
        descriptor = open_regular(Path(target.path))
    stream = os.fdopen(descriptor, "rb")
    try:
        _verify_place(stream, target)
    except BaseException:
        stream.close()
        raise
    return stream


def _verify_place(stream: BufferedReader, target: Target) -> None:
    # O_NOFOLLOW minds the last component only; the kernel knows what all of them led to.
    real = str(Path(f"/proc/self/fd/{stream.fileno()}").readlink())
    if real != target.path:
        raise refusal(f"target {target.path}: leads to {real!a}; expected a path without links", RECREATE)
    if file_systems.is_served_by_user(stream.fileno()):
        raise refusal(
            f"target {target.path}: on a file system that a user's program serves (FUSE)",
            "copy the file to another file system: the kernel forks no process while it reads what it is to probe",
        )
    if file_systems.is_of_processes(stream.fileno()):
        raise refusal(f"target {target.path}: a file of /proc; expected a program or a library", RECREATE)


def check_build_id(stream: BufferedReader, target: Target) -> None:
    """Check that an open file has the build-id that a target names.

    Raises:
        DatacrumbsError: (exit 3).
    """
    found = stream_build_id(stream, f"target {target.path}")
    if found != target.build_id:
        raise refusal(
            f"target {target.path}: the build-id changed: the plan was made for {target.build_id}, "
            f"the file has {found}",
            RECREATE,
        )


def _verify_kernel(target: Target) -> None:
    release = os.uname().release
    if target.build_id != release:
        raise refusal(
            f"kernel: the plan was made for release {target.build_id}, this host runs {release}",
            f"{RECREATE} on a host with this kernel",
        )

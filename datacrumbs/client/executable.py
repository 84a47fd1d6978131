"""What an executable is, as far as tracking it is concerned."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datacrumbs.elf.file import DF_1_PIE, ELF_PROBLEMS, Elf, FileType, Tag
from datacrumbs.errors import DatacrumbsError, refusal, usage_error
from datacrumbs.secure.files import READ_FLAGS, open_without_links, raised_privileges

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class MachineKind:
    """Which machines run a file.

    Args:
        machine: The ELF header's machine, as ``EM_X86_64``.
        bits: Word size, 32 or 64.
        little_endian: Byte order.
    """

    machine: str
    bits: int
    little_endian: bool

    def __str__(self) -> str:
        order = "little" if self.little_endian else "big"
        return f"{self.machine.removeprefix('EM_')} ({self.bits} bits, {order}-endian)"


@dataclass(frozen=True, slots=True)
class Executable:
    """A dynamic executable.

    Args:
        path: Links resolved.
        kind: Machines that run it.
        needed: Its needed libraries, in the file's order.
    """

    path: Path
    kind: MachineKind
    needed: tuple[str, ...]


def machine_kind(path: Path) -> MachineKind:
    """Which machines an ELF file is for.

    Raises:
        DatacrumbsError: (exit 1) when it is not a readable ELF file.
    """
    try:
        with path.open("rb") as stream:
            return _kind(Elf(stream))
    except ELF_PROBLEMS as error:
        raise DatacrumbsError(f"{path}: not a readable ELF file: {error}") from None


@contextmanager
def open_executable(path: Path) -> Iterator[tuple[int, Executable]]:
    """Open a dynamic executable once, and give its descriptor and what tracking needs to know of it.

    Args:
        path: Absolute; no part of it may be a symbolic link.

    Raises:
        DatacrumbsError: (exit 1) for a script, a static executable, a library, a damaged file, or one that this user
            may not read; (exit 2) for a path that is no file; (exit 3) for a file that runs with raised privileges.
    """
    try:
        descriptor = open_without_links(path, READ_FLAGS)
    except PermissionError as error:
        raise DatacrumbsError(f"{path}: cannot be read: {error.strerror}") from None
    except OSError as error:
        raise usage_error(f"{path}: {error.strerror}; expected an executable file") from None
    try:
        yield descriptor, executable_of(descriptor, path)
    finally:
        os.close(descriptor)


def executable_of(descriptor: int, path: Path) -> Executable:
    """The same of a file that is open; ``path`` is its name.

    Raises:
        DatacrumbsError: As for `open_executable`.
    """
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise usage_error(f"{path}: not a regular file; expected an executable file")
    _refuse_raised_privileges(descriptor, path)
    try:
        with os.fdopen(os.dup(descriptor), "rb") as stream:
            if os.pread(descriptor, 2, 0) == b"#!":
                raise DatacrumbsError(
                    f"{path}: a script; expected a dynamic executable",
                    hint="track its interpreter, or run the script by datacrumbs_wrap",
                )
            return _executable(path, Elf(stream))
    except OSError as error:
        raise DatacrumbsError(f"{path}: cannot be read: {error.strerror}") from None
    except ELF_PROBLEMS as error:
        raise DatacrumbsError(f"{path}: not a readable ELF file: {error}; expected a dynamic executable") from None


# Who may change the library would run code with the raised privileges; and the rewritten file would lose
# them, which breaks the program.
def _refuse_raised_privileges(descriptor: int, path: Path) -> None:
    if found := raised_privileges(descriptor):
        raise refusal(
            f"{path}: has {' and '.join(found)}; a program with raised privileges is not given another library",
            "such a program is not traced in any way: its owner did not ask for it",
        )


def _executable(path: Path, elf: Elf) -> Executable:
    if elf.type not in set(FileType):
        raise DatacrumbsError(f"{path}: an object file or a core dump; expected a dynamic executable")
    if not elf.interpreter:
        # A static position-independent executable differs from a library by this flag only.
        if elf.type == FileType.PROGRAM or any(value & DF_1_PIE for value in elf.dynamic_values(Tag.FLAGS_1)):
            raise DatacrumbsError(
                f"{path}: a static executable, which loads no library",
                hint="run it by datacrumbs_wrap, which traces static programs as well",
            )
        raise DatacrumbsError(f"{path}: a library; expected a dynamic executable")
    if elf.dynamic is None:
        raise DatacrumbsError(f"{path}: names a loader and has no dynamic section; expected a dynamic executable")
    return Executable(path, _kind(elf), elf.dynamic_texts(Tag.NEEDED))


def _kind(elf: Elf) -> MachineKind:
    return MachineKind(elf.machine, elf.bits, elf.little_endian)

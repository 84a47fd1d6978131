"""What a program's dynamic loader says that it loads.

The loader is asked by ``LOADER --list PROGRAM``, which maps files and runs no code of theirs. It is asked only where
that holds, and never with root's rights; elsewhere `dependencies` works it out.
"""

from __future__ import annotations

import os
import platform
import re
import select
import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from datacrumbs.cache.inspected_files import LOADER_FILES, explained, looked_at, may_differ_next_time
from datacrumbs.elf.asked_programs import CLOCK_SECONDS, NoAnswerError, bound_processor_time
from datacrumbs.elf.file import Tag, machine_of, open_elf
from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure.files import first_unprotected, raised_privileges
from datacrumbs.secure.user_rights import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

VARIABLES = ("LD_LIBRARY_PATH", "LD_PRELOAD")
"""Of the program's environment: what decides which files a loader takes. Nothing else is passed on."""
_LOADER = re.compile(r"ld-linux[\w.-]*\.so\.\d+|ld64\.so\.\d+|ld-musl-\w+\.so\.1")
_LINE = re.compile(r"\t(?:.+ => )?(\S*/.*) \(0x[0-9a-f]+\)")
_NOT_FOUND = re.compile(r"\t.+ => not found")
_SEPARATORS = re.compile(r"[\s:$]")  # a loader would take a path with one of these for something else
_OUTPUT_LIMIT = 4 << 20
_TEXT_LIMIT = 64 << 10  # of one variable; Linux takes 128 KiB


def loaded_files(
    program: Path, environment: Mapping[str, str], modules: Sequence[Path] = ()
) -> tuple[Path, ...] | None:
    """The libraries that a program loads, in the loader's order; the program itself is not among them.

    Args:
        program: The ELF program.
        environment: That of the program, of which `VARIABLES` count.
        modules: Files that the program loads later, by name; they are among the answer.

    Returns:
        None where the loader must not be asked, or does not answer. It must not be asked about a program of another
        machine, one with privileges of its own, one that names a loader that is not the system's or code that watches
        the loader (``DT_AUDIT``), nor by root about files that others can change.
    """
    real = program.resolve()
    loader = _loader_of(real)
    asks_as_root = os.geteuid() == 0
    if loader is None or (asks_as_root and not all(map(_is_protected, (real, *modules)))):
        return None
    if any(_SEPARATORS.search(str(module)) for module in modules):
        return None
    found: dict[Path, None] = {}
    for preloaded in preload_lists(environment.get("LD_PRELOAD", ""), modules):
        variables = {name: environment.get(name, "") for name in VARIABLES} | {"LD_PRELOAD": preloaded}
        with explained(*LOADER_FILES, *_searched(variables["LD_LIBRARY_PATH"])):
            lines = _answer([loader, "--list", str(real)], variables, as_nobody=asks_as_root)
        # What user nobody may not read may be readable for the user who runs the program.
        if lines is None or (asks_as_root and any(map(_NOT_FOUND.fullmatch, lines))):
            return None
        found.update(dict.fromkeys(Path(match[1]).absolute() for match in map(_LINE.fullmatch, lines) if match))
    # A file that appears beside one of these may be taken in its place.
    looked_at(program, *found, *{path.parent for path in found})
    return tuple(found)


def _searched(library_path: str) -> list[str]:
    return [folder for folder in library_path.replace(";", ":").split(":") if folder]


# The loader that a program names, when it may be asked.
def _loader_of(program: Path) -> str | None:
    with suppress(OSError, RuntimeError, DatacrumbsError):
        with program.open("rb") as stream:
            if raised_privileges(stream.fileno()):
                return None
        with open_elf(program) as elf:
            watched = elf.dynamic_values(Tag.AUDIT) or elf.dynamic_values(Tag.DEPENDENCY_AUDIT)
            if watched or elf.machine != machine_of(platform.machine()):
                return None
            return elf.interpreter if _is_the_systems(Path(elf.interpreter)) else None
    return None


# Any program can be named as a loader: only root may have put it there, under a loader's name.
def _is_the_systems(loader: Path) -> bool:
    if not loader.is_absolute() or not _LOADER.fullmatch(loader.name):
        return False
    link = loader.parent.resolve() / loader.name
    return link.lstat().st_uid == 0 and _is_protected(link.parent) and _is_protected(link)


def _is_protected(path: Path) -> bool:
    try:
        real = path.resolve(strict=True)
        return first_unprotected(real) is None and not stat.S_ISLNK(real.lstat().st_mode)
    except (OSError, RuntimeError):
        return False


def preload_lists(own: str, modules: Sequence[Path]) -> Iterator[str]:
    """Values of LD_PRELOAD: what the program has there, and modules, as many at a time as one variable takes."""
    part = own
    for text in map(str, modules):
        if len(part) + len(text) > _TEXT_LIMIT and part != own:
            yield part
            part = own
        part = f"{part} {text}".lstrip()
    yield part


# Lines of what it writes; None when it fails, takes too long or writes too much.
def _answer(command: Sequence[str], variables: Mapping[str, str], *, as_nobody: bool) -> list[str] | None:
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=variables,
            user=NOBODY if as_nobody else None,
            group=NOBODY if as_nobody else None,
            extra_groups=[] if as_nobody else None,
            start_new_session=True,
            preexec_fn=bound_processor_time,  # noqa: PLW1509 - what composes has one thread
        )
    except OSError:
        return None
    with child:
        try:
            output = _bounded_output(cast("IO[bytes]", child.stdout).fileno())
            if output is not None:
                child.wait(CLOCK_SECONDS)
        except (NoAnswerError, subprocess.TimeoutExpired):
            may_differ_next_time()
            output = None
        finally:
            child.kill()
    return None if output is None or child.returncode else os.fsdecode(output).splitlines()


def _bounded_output(descriptor: int) -> bytes | None:
    output, deadline = b"", time.monotonic() + CLOCK_SECONDS
    while len(output) <= _OUTPUT_LIMIT:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise NoAnswerError("the loader did not answer in time")
        piece = os.read(descriptor, 1 << 16)
        if not piece:
            return output
        output += piece
    return None

"""Which file a command line runs, as env(1) finds it, and which program's libraries it will load."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.elf.asked_programs import NoAnswerError, ask
from datacrumbs.elf.dependencies import read_dynamic
from datacrumbs.elf.libraries import interpreter_of
from datacrumbs.errors import DatacrumbsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CANNOT_EXECUTE, NOT_FOUND = 126, 127
# Programs that run what one of their arguments names.
_LAUNCHERS = {
    "chrt", "env", "ionice", "mpiexec", "mpirun", "nice", "nohup", "numactl", "orterun", "prterun", "setsid", "srun",
    "stdbuf", "taskset", "time", "timeout",
}  # fmt: skip
_SCRIPT_HEAD = 4096
# pyenv, rbenv and asdf: `exec "/home/me/.pyenv/libexec/pyenv" exec "$program" "$@"`.
_SHIM = re.compile(r'^\s*exec "?(/[^"\s]+)"? exec\b', re.MULTILINE)
# What pip writes where an interpreter's path is too long for a first line, or has a blank.
_TRAMPOLINE = re.compile(r"""^'''exec' "?(/[^"\n]+?)"? "\$0" "\$@"$""", re.MULTILINE)


class CommandError(Exception):
    """A command that cannot be run, with the exit status that env(1) gives for it."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def executable(name: str, environment: Mapping[str, str]) -> Path:
    """The file that execvp(3) would run, found with this process's rights.

    Raises:
        CommandError: There is none, or it cannot be executed.
    """
    if "/" in name:
        problem = _problem(name)
        if problem is None:
            return Path(name)
        raise CommandError(problem.strerror or str(problem), _status(problem))
    denied = None
    for folder in environment.get("PATH", os.defpath).split(":"):
        candidate = os.path.join(folder or ".", name)  # noqa: PTH118 - "./x" stays as it is
        problem = _problem(candidate) if name else FileNotFoundError()
        if problem is None:
            return Path(candidate)
        if not isinstance(problem, (FileNotFoundError, NotADirectoryError)):
            denied = problem
    if denied is not None:
        raise CommandError(denied.strerror or str(denied), CANNOT_EXECUTE)
    raise CommandError("command not found", NOT_FOUND)


def program_of(command: Sequence[str], environment: Mapping[str, str]) -> Path | None:
    """The ELF program whose libraries a command line is about; None where that cannot be known.

    A script means its interpreter, a shim of a version manager what it leads to, and a launcher the program among its
    arguments.

    Raises:
        NoAnswerError: (exit 1) A version manager did not answer in time.
    """
    words = list(command)
    path = executable(words[0], environment)
    while path.name in _LAUNCHERS:
        words = words[1:]
        found = next((place for place in range(len(words)) if _is_executable(words[place], environment)), None)
        if found is None:
            break
        words = words[found:]
        path = executable(words[0], environment)
    try:
        path = _behind(path.absolute(), environment)
        interpreter = interpreter_of(path, environment)
    except NoAnswerError:
        raise
    except (DatacrumbsError, OSError, ValueError):
        return None
    # Not resolved: the link to the interpreter in a virtual environment is what makes it that environment's.
    return interpreter.absolute() if read_dynamic(interpreter) is not None else None


def _is_executable(word: str, environment: Mapping[str, str]) -> bool:
    try:
        executable(word, environment)
    except CommandError:
        return False
    return True


def _behind(path: Path, environment: Mapping[str, str]) -> Path:
    with path.open("rb") as stream:
        head = stream.read(_SCRIPT_HEAD).decode("utf-8", "surrogateescape")
    if not head.startswith("#!"):
        return path
    if trampoline := _TRAMPOLINE.search(head):
        return Path(trampoline[1])
    if shim := _SHIM.search(head):
        answer = ask([shim[1], "which", path.name], environment)
        found = Path(answer.stdout.strip())
        return found if answer.returncode == 0 and found.is_absolute() else path
    return path


def _problem(path: str) -> OSError | None:
    try:
        status = Path(path).stat()
    except OSError as error:
        return error
    except ValueError:  # a byte of 0
        return FileNotFoundError(2, os.strerror(2))
    if stat.S_ISDIR(status.st_mode) or not os.access(path, os.X_OK):
        return PermissionError(13, os.strerror(13))
    return None


def _status(problem: OSError) -> int:
    return NOT_FOUND if isinstance(problem, FileNotFoundError) else CANNOT_EXECUTE

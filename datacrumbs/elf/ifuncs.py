"""Indirect functions: which implementation the loader picks on this machine.

Only the library's own resolver knows, so a child process loads the library and looks where the loader says that each
function is. Loading runs code of the library: it is done with the rights of the user who asks, and without any rights
when that is root.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ != "__main__":  # the child process needs nothing of the package
    from datacrumbs.cache.inspected_files import LOADER_FILES, explained, may_differ_next_time
    from datacrumbs.elf.asked_programs import NoAnswerError, ask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from datacrumbs.elf.functions import ElfFunction

_PROCESSOR_SECONDS = 30
_MEMORY = 4 << 30
_NOBODY = 65534
OWN_ROOT = Path("/")
_FOREIGN = "the library is not loaded here, since it is of another root directory"


@dataclass(frozen=True, slots=True)
class Resolution:
    """Functions that can be probed, and for the names of the others the reason why not."""

    functions: tuple[ElfFunction, ...]
    refused: Mapping[str, str]


def resolve_ifuncs(path: Path | str, functions: Iterable[ElfFunction], root: Path = OWN_ROOT) -> Resolution:
    """Replace indirect functions of a library by their implementations on this machine.

    Other functions are kept as they are. An implementation that several names share becomes one function
    with aliases. Where an implementation is in another file, or the library cannot be loaded here (a program, a
    library for another C library), its functions are refused. So are those of a library in another root directory:
    code of a container's image is not run outside of it, and its loader may choose otherwise.

    Args:
        path: The library.
        functions: Its functions.
        root: Real path of the root directory in which programs load it.
    """
    given = tuple(functions)
    indirect = {function.name: function for function in given if function.ifunc}
    if not indirect:
        return Resolution(given, {})
    real = Path(path).resolve()
    is_foreign = root != OWN_ROOT and real.is_relative_to(root)
    places, problem = ({}, _FOREIGN) if is_foreign else _ask(real, sorted(indirect))
    found: dict[int, ElfFunction] = {}
    refused: dict[str, str] = {}
    for name, function in sorted(indirect.items()):
        file, offset = places.get(name, ("", 0))
        if not file:
            refused[name] = problem or f"the loader does not find it in {real}"
        elif Path(file).resolve() != real:
            refused[name] = f"its implementation is in {file}"
        elif offset in found:
            names = {*found[offset].aliases, name, *function.aliases}
            found[offset] = replace(found[offset], aliases=tuple(sorted(names - {found[offset].name})))
        else:
            found[offset] = replace(function, offset=offset, size=0, ifunc=False)
    plain = [function for function in given if not function.ifunc and function.offset not in found]
    known = {function.offset: function for function in given if not function.ifunc}
    resolved = [_merged(function, known.get(offset)) for offset, function in found.items()]
    return Resolution(tuple(sorted([*plain, *resolved], key=lambda item: (item.name, item.offset))), refused)


def _merged(function: ElfFunction, exported: ElfFunction | None) -> ElfFunction:
    # An implementation may be exported under a name of its own as well.
    if exported is None:
        return function
    names = {*function.aliases, exported.name, *exported.aliases} - {function.name}
    return replace(function, size=exported.size, aliases=tuple(sorted(names)))


def _ask(path: Path, names: Sequence[str]) -> tuple[dict[str, tuple[str, int]], str]:
    environment = {key: value for key, value in os.environ.items() if key not in {"LD_PRELOAD", "LD_AUDIT"}}
    command = [sys.executable, "-I", str(Path(__file__).resolve()), str(path)]
    try:
        with path.open("rb") as library, explained(*LOADER_FILES):
            command += [f"/proc/self/fd/{library.fileno()}", *names]
            done = ask(command, environment, descriptors=(library.fileno(),))
        if done.returncode:
            return {}, f"the library cannot be loaded: the loading process ended with status {done.returncode}"
        answer = json.loads(done.stdout)
        return {name: (str(file), int(at)) for name, (file, at) in answer["places"].items()}, str(answer["problem"])
    except NoAnswerError as error:
        may_differ_next_time()
        return {}, f"the library was not loaded: {error.message}"
    # What the library makes its process say is as good as the library.
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return {}, f"the library cannot be loaded: {error}"


# From here on: what the child process does.


def _answer(path: str, opened: str, names: Sequence[str]) -> dict[str, object]:
    try:
        # By the open file where its folder is closed to who loads it.
        library = ctypes.CDLL(path if os.access(path, os.R_OK) else opened)
    except OSError as error:
        return {"places": {}, "problem": f"the library cannot be loaded: {error}"}
    addresses = {name: _address(library, name) for name in names}
    places = {}
    for line in os.fsdecode(Path("/proc/self/maps").read_bytes()).split("\n")[:-1]:
        fields = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in fields[0].split("-"))
        for name, address in addresses.items():
            if start <= address < end and len(fields) == 6:
                places[name] = (fields[5], address - start + int(fields[2], 16))
    return {"places": places, "problem": ""}


def _address(library: ctypes.CDLL, name: str) -> int:
    symbol, _, version = name.partition("@")
    look = ctypes.CDLL(None)["dlvsym" if version else "dlsym"]
    look.restype = ctypes.c_void_p
    arguments = [symbol.encode(errors="surrogateescape"), version.encode(errors="surrogateescape")]
    return look(ctypes.c_void_p(library._handle), *arguments[: 2 if version else 1]) or 0  # noqa: SLF001


def _give_up_rights() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR_SECONDS, _PROCESSOR_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)


def _main(path: str, opened: str, *names: str) -> None:
    # Whatever the library writes while it is loaded is not the answer.
    answer = os.dup(1)
    os.dup2(2, 1)
    _give_up_rights()
    text = json.dumps(_answer(path, opened, names))
    with os.fdopen(answer, "w") as stream:
        stream.write(text)
    os._exit(0)  # what the library wants done at its end is of no use here


if __name__ == "__main__":
    _main(*sys.argv[1:])

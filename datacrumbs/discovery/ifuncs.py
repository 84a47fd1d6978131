"""Indirect functions: which implementation the loader picks on this machine.

Only the library's own resolver knows, so a child process loads the library, as the user who asks, and looks
where the loader says that each function is.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from datacrumbs.discovery.elf import ElfFunction

_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Resolution:
    """Functions that can be probed, and for the names of the others the reason why not."""

    functions: tuple[ElfFunction, ...]
    refused: Mapping[str, str]


def resolve_ifuncs(path: Path | str, functions: Iterable[ElfFunction]) -> Resolution:
    """Replace indirect functions of a library by their implementations on this machine.

    Other functions are kept as they are. An implementation that several names share becomes one function
    with aliases. Where an implementation is in another file, or the library cannot be loaded here (a program, a
    library for another C library), its functions are refused.
    """
    given = tuple(functions)
    indirect = {function.name: function for function in given if function.ifunc}
    if not indirect:
        return Resolution(given, {})
    real = Path(path).resolve()
    places, problem = _ask(real, sorted(indirect))
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
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    command = [sys.executable, "-I", str(Path(__file__).resolve()), str(path), *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS, env=environment)
        answer = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return {}, f"the library could not be loaded: {error}"
    return {name: (file, offset) for name, (file, offset) in answer["places"].items()}, str(answer["problem"])


# From here on: what the child process does.


def _answer(path: str, names: Sequence[str]) -> dict[str, object]:
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        return {"places": {}, "problem": f"the library cannot be loaded: {error}"}
    addresses = {}
    for name in names:
        try:
            addresses[name] = ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
        except AttributeError:
            continue
    places = {}
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        fields = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in fields[0].split("-"))
        for name, address in addresses.items():
            if start <= address < end and len(fields) == 6:
                places[name] = (fields[5], address - start + int(fields[2], 16))
    return {"places": places, "problem": ""}


if __name__ == "__main__":
    print(json.dumps(_answer(sys.argv[1], sys.argv[2:])))

"""What the dynamic loader would load, where it cannot be asked: DT_NEEDED resolved as ld.so(8) and musl's loader do.

Folders for processors of one kind (glibc-hwcaps, $PLATFORM) are left out.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.cache.inspected_files import looked_at
from datacrumbs.elf.file import Tag, open_elf
from datacrumbs.elf.roots import Root
from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.secure.files import is_file, read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from datacrumbs.elf.file import Elf

_FOLDERS_LIMIT = 64 << 10
_TRIPLETS = {"EM_X86_64": "x86_64-linux-gnu", "EM_AARCH64": "aarch64-linux-gnu", "EM_PPC64": "powerpc64le-linux-gnu"}


@dataclass(frozen=True, slots=True)
class DynamicFile:
    """The dynamic section of one ELF file.

    ``rpath`` and ``runpath`` are as written, ``$ORIGIN`` not replaced; ``interpreter`` is empty for libraries.
    """

    path: Path
    machine: str
    soname: str = ""
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()


# A file and those that needed it, the nearest first.
_Queue = list[tuple[DynamicFile, tuple[DynamicFile, ...]]]


def read_dynamic(path: Path) -> DynamicFile | None:
    """What a file asks of the loader, or None when it is no 64-bit ELF file (a linker script, a broken link)."""
    try:
        state = path.stat()
    except OSError:
        return None
    return _read_dynamic(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)
def _read_dynamic(path: Path, _modified: int, _size: int) -> DynamicFile | None:
    with suppress(DatacrumbsError), open_elf(path) as elf:
        return _dynamic_of(elf, path)
    return None


def _dynamic_of(elf: Elf, path: Path) -> DynamicFile:
    return DynamicFile(
        path,
        elf.machine,
        "".join(elf.dynamic_texts(Tag.SONAME)[:1]),
        elf.interpreter,
        elf.dynamic_texts(Tag.NEEDED),
        tuple(_split(elf.dynamic_texts(Tag.RPATH))),
        tuple(_split(elf.dynamic_texts(Tag.RUNPATH))),
    )


def _split(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from (part for part in text.split(":") if part)


class Loader:
    """Resolves libraries for one program, as its loader does.

    Args:
        program: The ELF executable.
        environment: LD_LIBRARY_PATH and LD_PRELOAD are used.
        cache: soname -> paths of the loader's cache, as the program sees them.
        root: The root directory in which the program runs.

    Raises:
        DatacrumbsError: (exit 2) when the program is no 64-bit ELF file.
    """

    def __init__(
        self,
        program: Path,
        environment: Mapping[str, str],
        cache: Mapping[str, tuple[Path, ...]],
        root: Root | None = None,
    ) -> None:
        dynamic = read_dynamic(program)
        if dynamic is None:
            raise usage_error(f"{program}: not a readable 64-bit ELF program", "name an executable")
        self._program = dynamic
        self._musl = "ld-musl" in dynamic.interpreter
        self._cache = {} if self._musl else cache
        self._environment = environment
        self._root = root or Root()
        self._found: dict[str, Path] = {}

    def load_all(self, roots: Iterable[Path]) -> list[Path]:
        """The libraries that these files load, directly and in turn, breadth first; the roots are not among them."""
        queue: _Queue = [(dynamic, ()) for dynamic in map(read_dynamic, roots) if dynamic is not None]
        order: dict[Path, None] = {}
        if self._program.interpreter and not self._found:
            self._add_interpreter(order)
            for name in self._environment.get("LD_PRELOAD", "").replace(":", " ").split():
                self._enqueue(name, self._program, (), order, queue)
        position = 0
        while position < len(queue):
            dynamic, parents = queue[position]
            position += 1
            for name in dynamic.needed:
                self._enqueue(name, dynamic, parents, order, queue)
        return list(order)

    def _add_interpreter(self, order: dict[Path, None]) -> None:
        name = Path(self._program.interpreter).name
        path = self._root.real(Path(self._program.interpreter))
        self._found[name] = path
        if self._musl:
            # musl's loader is its C library; these names never reach the file system
            for alias in ("libc.so", f"libc.musl-{name[8:].split('.')[0]}.so.1"):
                self._found[alias] = path
        if is_file(path):
            order[path] = None

    def _enqueue(
        self,
        name: str,
        needing: DynamicFile,
        parents: tuple[DynamicFile, ...],
        order: dict[Path, None],
        queue: _Queue,
    ) -> None:
        if name in self._found:
            return
        places = map(self._root.real, self._places(name, needing, parents))
        found = next((place for place in places if self._usable(place)), None)
        if found is None:
            return
        dynamic = read_dynamic(found)
        self._found[name] = found
        if dynamic is None:
            return
        if dynamic.soname:
            self._found.setdefault(dynamic.soname, found)
        order[found] = None
        queue.append((dynamic, (needing, *parents)))

    def _usable(self, path: Path) -> bool:
        looked_at(path)
        dynamic = read_dynamic(path) if is_file(path) else None
        return dynamic is not None and dynamic.machine == self._program.machine

    # ld.so(8): RPATH of the file and of those that needed it unless it has RUNPATH, LD_LIBRARY_PATH, RUNPATH, the
    # cache, the default folders. musl knows no difference between the two paths and tries LD_LIBRARY_PATH first.
    def _places(self, name: str, needing: DynamicFile, parents: tuple[DynamicFile, ...]) -> Iterator[Path]:
        if "/" in name:
            yield Path(self._replaced(name, needing))
            return
        chain = (needing, *parents, self._program)
        inherited = [(text, file) for file in chain if not file.runpath for text in file.rpath]
        by_environment = self._environment.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":")
        if self._musl or needing.runpath:
            inherited = []
        for text, file in inherited:
            yield Path(self._replaced(text, file)) / name
        for text in by_environment:
            if text:
                yield Path(self._replaced(text, self._program)) / name
        own = [(text, file) for file in chain for text in (*file.runpath, *file.rpath)] if self._musl else []
        for text, file in own or [(text, needing) for text in needing.runpath]:
            yield Path(self._replaced(text, file)) / name
        yield from self._cache.get(name, ())
        for folder in self._default_folders():
            yield folder / name

    def _default_folders(self) -> Iterator[Path]:
        if self._musl:
            listed = self._root.real(Path(f"/etc/{Path(self._program.interpreter).name.replace('.so.1', '')}.path"))
            text = "/lib:/usr/local/lib:/usr/lib"
            with suppress(DatacrumbsError):  # it may be of a container's image, so it may be anything
                text = os.fsdecode(read_bounded(listed, _FOLDERS_LIMIT, follow=True))
            yield from (Path(part) for part in text.replace("\n", ":").split(":") if part)
            return
        triplet = _TRIPLETS.get(self._program.machine, "")
        for root in (Path("/lib"), Path("/usr/lib")):
            if triplet:
                yield root / triplet
            yield Path(f"{root}64")
            yield root

    def _replaced(self, text: str, file: DynamicFile) -> str:
        values = {
            "ORIGIN": str(self._root.seen(file.path.resolve()).parent),
            "LIB": f"lib/{_TRIPLETS.get(file.machine, '')}".rstrip("/"),
        }
        for name, value in values.items():
            text = text.replace(f"${{{name}}}", value).replace(f"${name}", value)
        return text

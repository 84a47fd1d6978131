"""Find shared libraries the way programs do: for a host, or exactly those of one program."""

from __future__ import annotations

import os
import re
import stat
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.cache.inspected_files import looked_at
from datacrumbs.elf.build_id import file_build_id
from datacrumbs.elf.dependencies import Loader, read_dynamic
from datacrumbs.elf.dynamic_loader import loaded_files
from datacrumbs.elf.file import machine_of
from datacrumbs.elf.loader_cache import CACHE, read_loader_cache
from datacrumbs.elf.python_programs import extension_modules, is_python
from datacrumbs.elf.roots import Root
from datacrumbs.errors import usage_error
from datacrumbs.secure.files import is_file, is_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from datacrumbs.provider import Host

# Variables by which environment modules, Spack, EasyBuild and conda name the root of a package.
_ROOT_VARIABLE = re.compile(r"(?:[A-Z0-9_]+_(?:DIR|HOME|ROOT|PREFIX|BASE)|EBROOT[A-Z0-9_]+)")
_LIBRARY_FOLDERS = ("lib64", "lib")
_SEARCH_VARIABLES = ("LD_LIBRARY_PATH", "LIBRARY_PATH")
_BUNDLES = ("*.libs", "*/.libs", "*/lib", "*/lib64")


def find_libraries(names: Sequence[str], host: Host) -> tuple[Path, ...]:
    """Real paths of the libraries that the names mean on a host, in the order in which they would be found.

    With ``host.program`` only the libraries that it loads are looked at, unless ``host.others``. Otherwise, in this
    order: LD_LIBRARY_PATH, LIBRARY_PATH, roots of packages in the environment (``HDF5_DIR``, ``MPI_HOME``, ``*_ROOT``,
    ``CMAKE_PREFIX_PATH``, a Spack environment's view), the virtual environment with the libraries that its
    packages bundle, and the loader's cache. Files with one build-id are one library.

    Args:
        names: Sonames, file names or shell patterns of them (``libhdf5*.so.*``).
        host: The host, with the environment that programs will run in.

    Raises:
        DatacrumbsError: (exit 2) when ``host.program`` is missing or no ELF file.
    """
    candidates: Iterable[Path] = ()
    if host.program is not None:
        candidates = program_libraries(host.program, host.environment, Root(host.root))
    if host.program is None or host.others:
        candidates = chain(candidates, _host_candidates(names, host.environment))
    found: dict[str, Path] = {}
    machine = machine_of(host.machine)
    for candidate in candidates:
        if not _matches(candidate, names):
            continue
        dynamic = read_dynamic(candidate)
        if dynamic is None or (machine and dynamic.machine != machine):
            continue
        real = candidate.resolve()
        found.setdefault(file_build_id(real), real)
    return tuple(found.values())


def named_libraries(provider: str, options: Mapping[str, object], key: str) -> tuple[Path, ...]:
    """Real paths of the libraries that a provider's option names, each once; empty where it names none.

    Args:
        provider: The provider's name.
        options: Its options, as hooks get them.
        key: The option, a list.

    Raises:
        DatacrumbsError: (exit 2) when there is no such file.
    """
    named = options.get(key, ())
    names = named if isinstance(named, tuple) else ()
    for name in names:
        if not Path(name).is_file():
            raise usage_error(f"{provider}: option {key}: {name} is not a file", "name a library that exists")
    return tuple(dict.fromkeys(Path(name).resolve() for name in names))


def program_libraries(program: Path, environment: Mapping[str, str], root: Root | None = None) -> tuple[Path, ...]:
    """The libraries that a program loads, with its own and its libraries' DT_NEEDED, in breadth-first order.

    For a script, its interpreter is taken. For a Python interpreter the extension modules of its
    search path and what they need come as well, because they are loaded later by name; not in another root.
    The paths are those under which the loader finds them; resolve them for the real file. In another root they are
    this host's, with no links left.

    Raises:
        DatacrumbsError: (exit 2) when the program is missing or no ELF file.
    """
    if root is not None and not root.is_own:
        loader = Loader(program, environment, read_loader_cache(root.real(CACHE)), root)
        return tuple(loader.load_all([program]))
    executable = interpreter_of(Path(program), environment)
    loader = Loader(executable, environment, read_loader_cache())
    libraries = loaded_files(executable, environment) or loader.load_all([executable])
    modules = extension_modules(executable, environment) if is_python(executable) else ()
    if modules:
        later = loaded_files(executable, environment, modules) or loader.load_all([executable, *modules])
        libraries = [*libraries, *later, *modules]
    return tuple(dict.fromkeys(libraries))


def interpreter_of(program: Path, environment: Mapping[str, str], root: Root | None = None) -> Path:
    """The ELF program that runs for a command: itself, or for a script what its ``#!`` line names.

    Args:
        program: An absolute path as programs in the root see it, or a name on PATH.
        environment: PATH is used.
        root: The root directory; then the answer is this host's path, with no links left.

    Raises:
        DatacrumbsError: (exit 2) when there is no such program.
    """
    root = root or Root()
    path = program
    if not program.is_absolute() and not (root.is_own and is_file(program)):
        path = _on_path(program.name, environment, root) or program
    for _depth in range(4):  # the kernel follows as many
        try:
            real = root.real(path)
            kind = real.stat().st_mode
            if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # which may hold up who opens it
                raise usage_error(f"{program}: {real} is not a regular file", "name a program")
            with real.open("rb") as stream:
                line = stream.readline(256)
        except OSError as error:
            where = "" if root.is_own else f" in the root directory {root.directory}"
            problem = f"{program}: cannot be read{where}: {error.strerror}"
            raise usage_error(problem, "name a program that exists") from None
        if not line.startswith(b"#!"):
            return real
        words = line[2:].decode("utf-8", "surrogateescape").split()
        if words and Path(words[0]).name == "env":
            words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
            found = _on_path(words[0], environment, root) if words else None
            words = [str(found)] if found else []
        if not words:
            raise usage_error(f"{program}: its interpreter is not found", "name the interpreter itself")
        path = Path(words[0])
    raise usage_error(f"{program}: its interpreter scripts are nested too deeply", "name the interpreter itself")


def _on_path(name: str, environment: Mapping[str, str], root: Root) -> Path | None:
    for folder in environment.get("PATH", os.defpath).split(":"):
        candidate = Path(folder or ".") / name
        real = root.real(candidate)
        looked_at(real)
        if is_file(real) and os.access(real, os.X_OK):
            return candidate
    return None


def _host_candidates(names: Sequence[str], environment: Mapping[str, str]) -> Iterator[Path]:
    seen: set[Path] = set()
    for folder in search_folders(environment):
        for name in names:
            if "/" in name:
                continue
            for path in sorted(folder.glob(name)):
                if path not in seen and is_file(path):
                    seen.add(path)
                    yield path
    for soname, paths in read_loader_cache().items():
        if _matches(Path(soname), names):
            yield from (path for path in paths if path not in seen and is_file(path))
    yield from (Path(name) for name in names if name.startswith("/") and is_file(Path(name)))


def search_folders(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """The existing folders in which an environment's own libraries may be, without the loader's cache."""
    folders: list[Path] = []
    for variable in _SEARCH_VARIABLES:
        folders += [Path(text) for text in environment.get(variable, "").split(":") if text.startswith("/")]
    for root in _package_roots(environment):
        folders += [root / name for name in _LIBRARY_FOLDERS]
    virtual = environment.get("VIRTUAL_ENV", "")
    if virtual.startswith("/") and is_folder(Path(virtual)):
        folders += [Path(virtual) / name for name in _LIBRARY_FOLDERS]
        for packages in sorted(Path(virtual).glob("lib*/python3*/site-packages")):
            for pattern in _BUNDLES:
                folders += sorted(packages.glob(pattern))
    looked_at(*folders)
    existing = [folder for folder in folders if is_folder(folder)]
    return tuple({folder.resolve(): folder for folder in reversed(existing)}.values())[::-1]


def _package_roots(environment: Mapping[str, str]) -> Iterator[Path]:
    for text in environment.get("CMAKE_PREFIX_PATH", "").split(":"):
        if text.startswith("/"):
            yield Path(text)
    spack = environment.get("SPACK_ENV", "")
    if spack.startswith("/"):
        yield Path(spack) / ".spack-env/view"
    for variable in sorted(environment):
        value = environment[variable]
        if _ROOT_VARIABLE.fullmatch(variable) and value.startswith("/") and value.rstrip("/"):
            yield Path(value)


def _matches(path: Path, names: Sequence[str]) -> bool:
    return any(
        str(path) == name if name.startswith("/") else fnmatchcase(path.name, name) or _soname_matches(path, name)
        for name in names
    )


def _soname_matches(path: Path, name: str) -> bool:
    # A file found by its path (RPATH, a bundle with a hash in its name) may carry the wanted soname inside.
    if not path.is_absolute():
        return False
    dynamic = read_dynamic(path)
    return dynamic is not None and bool(dynamic.soname) and fnmatchcase(dynamic.soname, name)

"""A cache of what took long to find out about files, kept between compositions, and between reports.

Only what composes or reports keeps anything, and what composes only once `keep_in` gave it a place: what runs for the
signing service or the daemon neither reads nor writes it. What is kept belongs to one state of the files that it
describes and to one version of this package's rules. A file of somebody else, a damaged one or one of another key is as
good as none: it is found out again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections import defaultdict
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs import __version__
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.plan import Argument, Role
from datacrumbs.secure.files import keep, read_kept, remove_oldest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from datacrumbs.system import SystemPaths

FORMAT = "datacrumbs-kept/1"
SIZE_LIMIT = 32 << 20
KEPT = 256
"""Files in a directory: a few for each library that is probed."""
ROOM = 512 << 20
"""Bytes of all files in a directory."""
TURNS = 64
"""Files that this process may keep in a directory before it looks for old ones there again: it looks at each file."""
_SUFFIX = ".json"
_SOURCES = frozenset({".py", ".yaml"})
_place: list[Path] = []
_turns: defaultdict[Path, Iterator[int]] = defaultdict(itertools.count)


def keep_in(directory: Path | None) -> None:
    """Keep in this directory from now on; None: keep nothing."""
    _place[:] = [] if directory is None else [directory]


def own_directory(paths: SystemPaths, environment: Mapping[str, str]) -> Path | None:
    """Where programs of this process's user keep such things; None where there is no such place.

    Root takes nothing that a user could have written, wherever HOME and XDG_CACHE_HOME point under sudo.
    """
    if os.geteuid() != 0:
        return users_directory(environment)
    return paths.kept if paths.state.is_dir() else None


def users_directory(environment: Mapping[str, str]) -> Path | None:
    """Where an ordinary user's programs keep such things; None for a user without a home."""
    base = environment.get("XDG_CACHE_HOME", "")
    if base.startswith("/"):
        return Path(base) / "datacrumbs"
    home = environment.get("HOME", "")
    return Path(home) / ".cache/datacrumbs" if home.startswith("/") else None


def cached(kind: str, key: Sequence[object] | None, find: Callable[[], Any]) -> Any:
    """What ``find`` gives, from what was kept if the same was asked before.

    Args:
        kind: What is found out, for people.
        key: All that the answer depends on, apart from this package's rules; None: do not keep it.
        find: Gives a value that JSON carries unchanged: no tuples, keys of objects only strings.
    """
    if not _place or key is None:
        return find()
    whole = [*key, rules()]
    found = taken(kind, whole)
    if found is None:
        found = find()
        put(kind, whole, found)
    return found


def place() -> Path | None:
    """Where things are kept, if anywhere."""
    return _place[0] if _place else None


def taken(kind: str, key: Sequence[object]) -> Any:
    """What was `put` under the same key; None for nothing, and for what is damaged or somebody else's."""
    return taken_from(_place[0], kind, key) if _place else None


def put(kind: str, key: Sequence[object], value: Any) -> None:
    """Keep a value that JSON carries unchanged; where that is not possible, it is not kept."""
    if _place:
        put_into(_place[0], kind, key, value)


def taken_from(directory: Path, kind: str, key: Sequence[object]) -> Any:
    """`taken` in another directory than that of what composes."""
    with suppress(ValueError, RecursionError):
        body = taken_bytes(directory, kind, key)
        return None if body is None else json.loads(body)
    return None


def put_into(directory: Path, kind: str, key: Sequence[object], value: Any) -> None:
    """`put` in another directory than that of what composes."""
    put_bytes(directory, kind, key, json.dumps(value, separators=(",", ":")).encode(), KEPT)


def taken_bytes(directory: Path, kind: str, key: Sequence[object]) -> bytes | None:
    """What `put_bytes` kept under the same key; None for nothing, and for what is damaged or somebody else's."""
    path, digest = _place_of(directory, kind, key)
    with suppress(DatacrumbsError, OSError, ValueError):
        head, _, body = (read_kept(path, SIZE_LIMIT) or b"").partition(b"\n")
        if head.decode() == _head(digest, body):
            return body
    return None


def put_bytes(directory: Path, kind: str, key: Sequence[object], body: bytes, most: int) -> None:
    """Keep bytes; where there is no room or permission, or they are too many, they are not kept.

    Args:
        directory: Where.
        kind: What they are, for people.
        key: All that they depend on.
        body: The bytes.
        most: Files that may be there, besides `TURNS`; the oldest of more are removed.
    """
    path, digest = _place_of(directory, kind, key)
    if len(body) > SIZE_LIMIT // 2:
        return
    with suppress(OSError, DatacrumbsError):
        keep(path, f"{_head(digest, body)}\n".encode() + body)
        if next(_turns[directory]) % TURNS == 0:
            remove_oldest(directory, _SUFFIX, most, ROOM)


# The file, and the digest of what was asked, which is in it, too.
def _place_of(directory: Path, kind: str, key: Sequence[object]) -> tuple[Path, str]:
    digest = hashlib.sha256(json.dumps([FORMAT, kind, key]).encode()).hexdigest()
    return directory / f"{kind}-{digest[:32]}{_SUFFIX}", digest


def rows_of(arguments: Iterable[Argument]) -> list[list[object]]:
    """Arguments as JSON carries them."""
    return [[each.index, each.label, each.ctype, each.role.value, each.size, each.signed] for each in arguments]


def arguments_of(rows: Iterable[list[Any]]) -> tuple[Argument, ...]:
    """The arguments again; functions that have the same share them."""
    return _arguments_of(tuple(map(tuple, rows)))


@lru_cache(maxsize=4096)
def _arguments_of(rows: tuple[tuple[Any, ...], ...]) -> tuple[Argument, ...]:
    return tuple(
        Argument(index, label, ctype, Role(role), size, sign) for index, label, ctype, role, size, sign in rows
    )


def _head(digest: str, body: bytes) -> str:
    return f"{FORMAT} {digest} {hashlib.sha256(body).hexdigest()}"


@cache
def rules() -> str:
    """Digest of every rule by which files and the kernel are read, and of the disassembler's version.

    What other rules found is not taken.
    """
    import importlib.metadata  # noqa: PLC0415 - takes longer than what a whole composition that is remembered takes

    digest = hashlib.sha256(code_of("model", "cache", "elf", "kernel").encode())
    with suppress(importlib.metadata.PackageNotFoundError):
        digest.update(f"\ncapstone {importlib.metadata.version('capstone')}".encode())
    return digest.hexdigest()


@cache
def code_of(*stages: str) -> str:
    """Digest of this package's version, and of what stages have as Python and as data."""
    package = Path(__file__).parent.parent
    folders = (folder for stage in stages for folder in os.walk(package / stage))  # passes over one that has just gone
    places = (Path(folder, name) for folder, _, names in folders for name in names)
    digest = hashlib.sha256(__version__.encode())
    for source in sorted(path for path in places if path.suffix in _SOURCES):
        digest.update(f"\n{source.relative_to(package)}\n".encode() + source.read_bytes())
    return digest.hexdigest()

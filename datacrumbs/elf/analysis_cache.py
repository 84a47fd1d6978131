"""A cache of what took long to find out about files, kept between compositions.

Only what composes keeps anything, and only once `keep_in` gave it a place: what runs for the signing
service or the daemon neither reads nor writes it. What is kept belongs to one state of the files that it describes
and to one version of this package's rules. A file of somebody else, a damaged one or one of another key is as good as
none: it is found out again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs import __version__
from datacrumbs.elf import inspected_files
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.plan import Argument, Role
from datacrumbs.secure.files import check_protected, read_bounded, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from datacrumbs.system import SystemPaths

FORMAT = "datacrumbs-kept/1"
SIZE_LIMIT = 32 << 20
KEPT = 256
"""Files in the directory: a few for each library that is probed."""
_SUFFIX = ".json"
_place: list[Path] = []


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


def file_state(path: Path) -> list[object] | None:
    """What identifies a file's content; None when that cannot be known, or the file changed just now.

    The build-id is not enough: anyone can make a file with any build-id. Only root can set the time of a change back.
    """
    from datacrumbs.elf.build_id import file_build_id  # noqa: PLC0415 - what asks the kernel alone needs no ELF

    try:
        real = path.resolve(strict=True)
        status = real.stat()
        if abs(time.time() - status.st_ctime) < inspected_files.SETTLED_SECONDS:
            return None
        identity = file_build_id(real)
    except (OSError, RuntimeError, DatacrumbsError):
        return None
    numbers = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return [str(real), identity, *numbers]


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
    digest = _digest(kind, key)
    return _load(_file(directory, kind, digest), digest)


def put_into(directory: Path, kind: str, key: Sequence[object], value: Any) -> None:
    """`put` in another directory than that of what composes."""
    digest = _digest(kind, key)
    _save(_file(directory, kind, digest), digest, value)


def _digest(kind: str, key: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps([FORMAT, kind, key]).encode()).hexdigest()


def _file(directory: Path, kind: str, digest: str) -> Path:
    return directory / f"{kind}-{digest[:32]}{_SUFFIX}"


def rows_of(arguments: Iterable[Argument]) -> list[list[object]]:
    """Arguments as JSON carries them."""
    return [[each.index, each.label, each.ctype, each.role.value, each.size, each.signed] for each in arguments]


def arguments_of(rows: Iterable[list[Any]]) -> tuple[Argument, ...]:
    """The arguments again."""
    return tuple(
        Argument(index, label, ctype, Role(role), size, sign) for index, label, ctype, role, size, sign in rows
    )


def _load(path: Path, digest: str) -> Any:
    if not os.path.lexists(path):
        return None
    with suppress(DatacrumbsError, OSError, ValueError, RecursionError):
        check_protected(path.parent)
        head, _, body = read_bounded(path, SIZE_LIMIT, protected=True).partition(b"\n")
        if head.decode() == _head(digest, body):
            return json.loads(body)
    return None


# Without room or permission it is found out again the next time.
def _save(path: Path, digest: str, found: Any) -> None:
    body = json.dumps(found, separators=(",", ":")).encode()
    if len(body) > SIZE_LIMIT // 2:
        return
    with suppress(OSError, DatacrumbsError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_protected(path.parent)
        write_atomically(path, f"{_head(digest, body)}\n".encode() + body, 0o600)
        _remove_oldest(path.parent)


def _head(digest: str, body: bytes) -> str:
    return f"{FORMAT} {digest} {hashlib.sha256(body).hexdigest()}"


def _remove_oldest(directory: Path) -> None:
    files = sorted(directory.glob(f"*{_SUFFIX}"), key=lambda path: path.lstat().st_mtime_ns)
    for path in files[:-KEPT]:
        path.unlink(missing_ok=True)


@cache
def rules() -> str:
    """Digest of every rule by which files and the kernel are read, and of the disassembler's version.

    What other rules found is not taken.
    """
    package = Path(__file__).parent.parent
    sources = [path for stage in ("model", "elf", "kernel") for path in sorted((package / stage).glob("*.py"))]
    import importlib.metadata  # noqa: PLC0415 - takes longer than what a whole composition that is remembered takes

    digest = hashlib.sha256(__version__.encode())
    for source in sources:
        digest.update(f"\n{source.relative_to(package)}\n".encode() + source.read_bytes())
    with suppress(importlib.metadata.PackageNotFoundError):
        digest.update(f"\ncapstone {importlib.metadata.version('capstone')}".encode())
    return digest.hexdigest()

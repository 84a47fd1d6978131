"""Where the installed files are that are not Python's."""

from __future__ import annotations

import ast
import os
import site
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure.files import first_unprotected

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARIES = Path("lib/datacrumbs")
SHIPPED = Path("share/datacrumbs")
"""Units and default configuration."""

# How this interpreter's prefixes are called. The first is the interpreter's own; the others are where a
# distribution's pip and a user's pip install to.
_SCHEMES = (sysconfig.get_default_scheme(), "posix_prefix", "posix_local", "posix_user")


def installed(kind: str, place: Path, *others: Path) -> Path:
    """A file that the build put into the wheel, links resolved.

    Args:
        kind: As sysconfig calls it: ``data``, ``scripts``.
        place: Below that.
        others: Where packages of distributions have it instead.

    Raises:
        DatacrumbsError: (exit 1) when the installation lacks it.
    """
    looked = []
    for scheme in dict.fromkeys(_SCHEMES):
        if scheme not in sysconfig.get_scheme_names() or (scheme == "posix_user" and not site.ENABLE_USER_SITE):
            continue
        top = Path(sysconfig.get_path(kind, scheme))
        for found in (top / place, *_renamed(top / place), *(top / other for other in others)):
            if found.is_file():
                return found.resolve()
        looked.append(str(top / place))
    raise DatacrumbsError(
        f"{place.name} is not installed; looked for {', '.join(dict.fromkeys(looked))}",
        hint="install the datacrumbs package again: its build compiles it",
    )


# Distributions rename what they take for modules of Python (dh_python3): `x.so` becomes `x.cpython-311-....so`.
def _renamed(library: Path) -> list[Path]:
    return sorted(library.parent.glob(f"{library.stem}.*{library.suffix}")) if library.suffix == ".so" else []


def changeable_code() -> Path | None:
    """The first file or directory of what this interpreter runs that users other than root can change, or None.

    Looked at are the interpreter, the commands and every directory that modules come from, with all above them and, one
    level deep, what is in them, links also by what they lead to; of this package, every file.
    """
    for path in _code():
        try:
            # A link and what it leads to: either decides what is run.
            found = first_unprotected(path.parent.resolve(), sticky=True) or first_unprotected(
                path.resolve(), sticky=True
            )
        except (OSError, RuntimeError):  # what leads nowhere is not run; RuntimeError is pathlib's for a loop of links
            continue
        if found is not None:
            return found
    return None


def user_packages() -> Path | None:
    """The user's own directory of packages, if Python takes modules from it and users other than root can change it."""
    place = Path(site.getusersitepackages())
    if not site.ENABLE_USER_SITE or str(place) not in sys.path:
        return None
    return place if first_unprotected(place.resolve(), sticky=True) else None


def _code() -> Iterator[Path]:
    package = Path(__file__).parent
    yield Path(sys.executable)
    yield from Path(sysconfig.get_path("scripts")).glob("datacrumbs*")
    for directory, directories, files in os.walk(package):  # a directory that is gone by now is passed over
        yield from (Path(directory, name) for name in (*directories, *files))
    for place in (LIBRARIES, SHIPPED):
        yield from (Path(sysconfig.get_path("data")) / place).glob("*")
    for place in map(Path, filter(None, sys.path)):
        yield place
        if place.is_dir():
            yield from place.iterdir()
            for finder in place.glob("__editable__*_finder.py"):
                yield from _found_by(finder)


# An editable installation may put a module into the search, as setuptools writes it, instead of a directory into the
# path: its table says where packages are. It is read and not run.
def _found_by(finder: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(finder.read_bytes())
    except (SyntaxError, ValueError, OSError):  # the interpreter cannot run it either
        return
    for statement in tree.body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and isinstance(statement.value, ast.Dict):
            for text in ast.walk(statement.value):
                if isinstance(text, ast.Constant) and isinstance(text.value, str) and text.value.startswith("/"):
                    yield Path(text.value)

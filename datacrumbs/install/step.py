"""One thing to do for an installation, and what came of it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, and what becomes of it.

    Args:
        state: ``made``, ``kept``, ``updated``, ``removed``, ``reloaded``, ``absent`` (and not needed) or ``missing``.
        what: A path.
        note: More about it, or what to do next.
        planned: What a dry run shows in place of ``what``, where the real one is known only afterwards.
        act: Does it, and returns what became of it when that is something else than was planned.
    """

    state: str
    what: str
    note: str = ""
    planned: str = field(default="", repr=False, compare=False)
    act: Callable[[], Step | None] = field(default=lambda: None, repr=False, compare=False)


def performed(steps: Iterable[Step], *, dry_run: bool) -> Iterator[Step]:
    """Do each step before the next one is thought of; in a dry run, only say what would be done."""
    for step in steps:
        if dry_run:
            yield replace(step, what=step.planned or step.what)
        else:
            yield step.act() or step


@contextmanager
def by_root(path: Path, verb: str) -> Iterator[None]:
    """Turn what the system says into words.

    Raises:
        DatacrumbsError: In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise DatacrumbsError(f"{path}: cannot be {verb}: {error.strerror}", hint="run this as root") from None


def removed_if_empty(directory: Path, otherwise: str) -> Step:
    """Remove a directory in which nothing is by then; ``otherwise`` says why it stays."""

    def act() -> Step | None:
        try:
            directory.rmdir()
        except OSError:
            return Step("kept", str(directory), otherwise)
        return None

    return Step("removed", str(directory), planned=f"{directory}, if it is empty then", act=act)


def removed(path: Path) -> Step:
    """Remove a file, unless somebody has done so meanwhile."""

    def act() -> None:
        with by_root(path, "removed"):
            path.unlink(missing_ok=True)

    return Step("removed", str(path), act=act)

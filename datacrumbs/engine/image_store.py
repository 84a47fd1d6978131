"""Compiled programs kept between runs, in a directory that only root can write.

What is kept goes into the kernel, so whatever is not exactly what was written is left aside and the
program compiled again: a damaged or shortened file, one of another owner, a link, one that others may write.

A site may share directories of images among its hosts, which are only read. Of those each directory on the way from the
root has to be root's: who can change one can exchange what is below it. The key is a digest of all that an image
depends on, the kernel's build included, so one for another kernel is not found.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from datacrumbs.engine import image as images
from datacrumbs.errors import DatacrumbsError, refusal
from datacrumbs.secure.files import first_unprotected, keep, read_kept, remove_oldest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from datacrumbs.engine.image import Image

SIZE_LIMIT = 16 << 20
KEPT = 32
"""Images in the directory; a host has few selections of snippets and few kernels."""
_SUFFIX = ".program"


class ImageStore:
    """The images of one directory.

    Args:
        directory: Made when the first image is kept.
        tell: Takes one line about an image that was left aside.
        shared: Further directories of images, which are only read.

    """

    def __init__(self, directory: Path, tell: Callable[[str], None], shared: Sequence[Path] = ()) -> None:
        self._directory = directory
        self._tell = tell
        self._shared = shared

    def load(self, key: str) -> Image | None:
        """The image kept under a key, or None when it must be compiled."""
        found = self._load(self._directory, key)
        for directory in self._shared:
            found = found or self._load(directory, key, shared=True)
        return found

    def _load(self, directory: Path, key: str, *, shared: bool = False) -> Image | None:
        path = directory / f"{key}{_SUFFIX}"
        try:
            if (kept := read_kept(path, SIZE_LIMIT)) is None:
                return None
            if shared:
                _check_shared(directory)
            return images.decode(kept, key)
        except DatacrumbsError as error:
            self._tell(f"{error.message}; not used")
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._tell(f"{path}: {error}; not used")
        return None

    def save(self, key: str, image: Image) -> None:
        """Keep an image; without room or permission the next start compiles again."""
        with suppress(OSError, DatacrumbsError):
            keep(self._directory / f"{key}{_SUFFIX}", images.encode(image, key))
            remove_oldest(self._directory, _SUFFIX, KEPT)


def _check_shared(directory: Path) -> None:
    changeable = first_unprotected(directory.resolve())
    if changeable is not None:
        raise refusal(f"{directory}: users other than root can change {changeable}")

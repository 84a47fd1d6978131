"""Compiled programs kept between runs, in a directory that only root can write.

What is kept goes into the kernel, so whatever is not exactly what was written is left aside and the
program compiled again: a damaged or shortened file, one of another owner, a link, one that others may write.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from datacrumbs.engine import image as images
from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure.files import check_protected, read_bounded, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable
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

    """

    def __init__(self, directory: Path, tell: Callable[[str], None]) -> None:
        self._directory = directory
        self._tell = tell

    def load(self, key: str) -> Image | None:
        """The image kept under a key, or None when it must be compiled."""
        path = self._path(key)
        if not os.path.lexists(path):
            return None
        try:
            check_protected(self._directory)
            return images.decode(read_bounded(path, SIZE_LIMIT, protected=True), key)
        except DatacrumbsError as error:
            self._tell(f"{error.message}; not used, compiled again")
        except (ValueError, KeyError, TypeError) as error:
            self._tell(f"{path}: {error}; not used, compiled again")
        return None

    def save(self, key: str, image: Image) -> None:
        """Keep an image; without room or permission the next start compiles again."""
        with suppress(OSError, DatacrumbsError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_protected(self._directory)
            path = self._path(key)
            if path.is_symlink() or not path.is_file():
                path.unlink(missing_ok=True)
            write_atomically(path, images.encode(image, key), 0o600)
            self._remove_oldest()

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}{_SUFFIX}"

    def _remove_oldest(self) -> None:
        kept = sorted(self._directory.glob(f"*{_SUFFIX}"), key=lambda path: path.lstat().st_mtime_ns)
        for path in kept[:-KEPT]:
            path.unlink(missing_ok=True)

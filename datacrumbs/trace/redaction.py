"""Paths that are not to be shown: the names in them become short keyed hashes before anything leaves the process."""

from __future__ import annotations

import fnmatch
import hashlib
import re
import secrets
from typing import TYPE_CHECKING

from datacrumbs.model.record import CUT, DELETED
from datacrumbs.trace.text import normalise, raw_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEY_BYTES, _DIGITS = 16, 12
_OPTION = re.compile(r"(--[A-Za-z0-9][A-Za-z0-9-]*=)(.*)", re.DOTALL)
_PLAIN_ARGUMENT = re.compile(r"--?|-[A-Za-z]|--[A-Za-z0-9-]+|[-+]?[0-9]{1,5}(?:\.[0-9]{1,5})?[A-Za-z%]?", re.ASCII)
"""What names no file: a short or long option without a value, a number with its unit; a long one may be a name."""
_OF_NO_DISK = re.compile(r"\w+:\[\d+\]|anon_inode:\[?[\w.-]+\]?|\[lost name \w+\]")
"""Sockets, pipes and the like, as the kernel calls them."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ELSEWHERE = re.compile(r"/proc/(?:.*/)?(?:cwd|root|fd)(?:/|$)")
"""A path from where a process is, which is not known."""
_PLAIN_PATH = re.compile(r"/[\w./+@%~-]*", re.ASCII)


class Redaction:
    """Hides names below some directories.

    What a pattern matches, and everything below it, is shown as its directory and a hash of each further name:
    ``/home/ada/secret/x`` by ``/home/*/secret`` as ``/home/ada/~3f9a1c02b7d4/~77ab90e1f2c3``. Equal paths of a run stay
    equal, and files of one directory stay in one. The key of the hashes is made for the run and kept nowhere.

    Args:
        patterns: Absolute paths whose components are shell patterns.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [
            [re.compile(fnmatch.translate(part)) for part in pattern.split("/") if part] for pattern in patterns
        ]
        self._key = secrets.token_bytes(_KEY_BYTES)

    def path(self, text: str) -> str:
        """A path as it may be shown.

        ``..`` is no way around: a path that has one is hidden if it is to be hidden with or without it. Nor is what
        MPI-IO and other libraries take in front of a path, as in ``ufs:/home/ada/secret/x``. Of a relative
        path, or one whose beginning is cut off, the directory is not known, so all of it is hidden.
        """
        if not self._patterns or not text:
            return text
        if text.endswith(DELETED):
            return self.path(text.removesuffix(DELETED)) + DELETED
        if text.startswith(CUT):
            return CUT + self._hidden(text.removeprefix(CUT).split("/"), 0)
        if not text.startswith("/"):
            return text if _OF_NO_DISK.fullmatch(text) else self._hidden(text.split("/"), 0)
        parts = text.split("/")[1:]
        plain = _without_parents(parts)
        for form in (plain,) if plain == parts else (plain, parts):
            visible = self._visible_behind_schemes(form)
            if visible is not None:
                return "/" + self._hidden(form, visible)
        return text

    def word(self, text: str) -> str:
        """A name whose place is not known, such as that of a process."""
        return self._hidden([text], 0) if self._patterns else text

    def argument(self, text: str) -> str:
        """An argument of a program as it may be shown.

        Options, numbers and absolute paths of plain characters can be told. Anything else may be, or have in it, a name
        below a hidden directory, since the directory from which it starts is not known: it is hidden whole.
        """
        if not self._patterns or _PLAIN_ARGUMENT.fullmatch(text):
            return text
        option = _OPTION.fullmatch(text)
        if option:
            return option[1] + self.argument(option[2])
        is_known = _PLAIN_PATH.fullmatch(text) and not _ELSEWHERE.search(normalise(text))
        return self.path(normalise(text)) if is_known else self.word(text)

    # A path with such a beginning is relative to where its program was, and may be absolute behind it.
    def _visible_behind_schemes(self, parts: list[str]) -> int | None:
        plain = [_SCHEME.sub("", part) if ":" in part else part for part in parts]
        begins = [0, *(place for place, part in enumerate(plain, 1) if not part)]
        found = []
        for begin in begins:
            form = plain[begin:]
            if (visible := self._visible(form)) is not None:
                found.append(begin + visible)
            elif begin and self._visible(_without_parents(form)) is not None:
                found.append(begin)
        return min(found, default=None)

    # How many components before the last one of a pattern.
    def _visible(self, parts: Sequence[str]) -> int | None:
        found = [
            len(pattern) - 1
            for pattern in self._patterns
            if len(parts) >= len(pattern) and all(map(re.Pattern.match, pattern, parts))
        ]
        return min(found, default=None)

    def _hidden(self, parts: Sequence[str], visible: int) -> str:
        shown = list(parts[:visible])
        for end in range(visible + 1, len(parts) + 1):
            name = raw_bytes("/".join(parts[:end]))
            digest = hashlib.blake2b(name, key=self._key, digest_size=_DIGITS // 2).hexdigest()
            shown.append(f"~{digest}")
        return "/".join(shown)


def _without_parents(parts: Sequence[str]) -> list[str]:
    plain: list[str] = []
    for part in parts:
        if part != "..":
            plain.append(part)
        elif plain:
            plain.pop()
    return plain

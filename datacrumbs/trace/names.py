"""The names of a run: identity -> path or string, kept compactly, since a run can have millions."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.model.record import NameKind
from datacrumbs.trace.command_lines import command_line
from datacrumbs.trace.redaction import Redaction
from datacrumbs.trace.text import hash_number, hash_text, json_string, normalise, raw_argument, raw_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from datacrumbs.model.record import Name

RUN = "datacrumbs_run"
"""The name of the metadata line that says which run it is."""
RECENT_LIMIT = 65536
DEPTH_LIMIT = 64  # bases of bases; the kernel's own path limit allows fewer useful ones
PLACE_LIMIT = 16  # of one name, such as that of a link which is set again and again
FILE_KINDS = (NameKind.PATH, NameKind.LOCATION)
_WITHOUT_LINE = (NameKind.COMMAND, NameKind.ENVIRONMENT, NameKind.COMMAND_LINE)
BEYOND, STRING_BEYOND = "[name beyond names_mib]", "[string beyond names_mib]"
_COST = 60  # bytes of a name beside its text
_INCLUDED, _FILE, _WRITTEN, _COMMAND = 1, 2, 4, 8


class NameTable:
    """All names seen so far.

    A name costs its text and about 60 bytes: identities are in one sorted array, new ones wait in a
    dict until there are enough to be worth a merge.

    Args:
        host_hash: 16 hex digits, for the metadata lines.
        inclusion_path: Directory below which files count as included; empty for all.
        redact_paths: Patterns of paths that are written in hidden form only; inside here all are the true ones.
        limit: Bytes that names may take, or 0 for no limit. What comes beyond is counted in `dropped`, and calls that
            refer to it get `BEYOND` or `STRING_BEYOND`.
    """

    def __init__(
        self, host_hash: str, inclusion_path: str = "", redact_paths: Sequence[str] = (), limit: int = 0
    ) -> None:
        self._host_hash = host_hash
        self._redaction = Redaction(redact_paths)
        inclusion = normalise(inclusion_path) if inclusion_path else ""
        self._directory = inclusion.rstrip("/") + "/" if inclusion else ""
        self._recent: dict[int, int] = {}
        self._identities = np.empty(0, dtype=np.uint64)
        self._positions = np.empty(0, dtype=np.int64)
        self._hashes = array("Q")
        self._flags = bytearray()
        self._ends = array("Q", [0])
        self._texts = bytearray()
        self._emitted: set[int] = set()
        self._places: dict[int, list[str]] = {}  # few: only of names that are not those of their places
        self._room = limit or float("inf")
        self._beyond: dict[bool, int] = {}
        self.dropped = 0
        """How many names and places came that there was no room for."""
        self.unresolved = 0
        """How many names had to be made up, because a call referred to one that never came."""

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, names: Sequence[Name]) -> list[str]:
        """Take names in.

        Returns:
            The FH and SH metadata lines that must precede the calls that use them, and those of places.
        """
        waiting = {name.identity: name for name in names}
        lines = [
            self._keep(name, waiting)
            for name in names
            if name.kind is not NameKind.PLACE and self._position(name.identity) < 0
        ]
        lines += [self._place(name) for name in names if name.kind is NameKind.PLACE]
        return [line for line in lines if line]

    def renew(self) -> None:
        """Begin a new file, without names: `find` gives the lines of those that are used again."""
        flags = np.frombuffer(self._flags, dtype=np.uint8)
        flags &= _INCLUDED | _FILE | _COMMAND
        self._emitted.clear()

    def text(self, identity: int) -> str:
        """The resolved text of a name as it may be shown, or an empty string when there is none."""
        position = self._position(identity)
        return self._shown(position) if position >= 0 else ""

    def shown_path(self, path: str) -> str:
        """A path that is no name of the run, as it may be shown."""
        return self._redaction.path(path)

    def find(
        self, identities: NDArray[np.uint64], kind: NameKind
    ) -> tuple[NDArray[np.uint64], NDArray[np.bool_], list[str]]:
        """Look up names; those that never came get one that says so.

        Args:
            identities: (n,) distinct, non-zero identities.
            kind: What they would be, were they lost.

        Returns:
            (n,) hashes, (n,) whether the file is below the inclusion path, and metadata lines that must
            be written before their first use.
        """
        lines = []
        positions = np.empty(len(identities), dtype=np.int64)
        for row, identity in enumerate(identities.tolist()):
            position = self._position(identity)
            if position < 0 and self._room <= 0:
                position = self._position_beyond(kind)
            elif position < 0:
                self.unresolved += 1
                lines.append(self._store(identity, kind, f"[lost name {identity:016x}]"))
                position = self._position(identity)
            positions[row] = position
        hashes = np.frombuffer(self._hashes, dtype=np.uint64)[positions]
        flags = np.frombuffer(self._flags, dtype=np.uint8)[positions]
        lines += [self._line(position) for position in positions[flags & _WRITTEN == 0].tolist()]
        return hashes, flags & _INCLUDED > 0, [line for line in lines if line]

    def _text(self, position: int) -> str:
        return self._texts[self._ends[position] : self._ends[position + 1]].decode("utf-8", "surrogateescape")

    def _shown(self, position: int) -> str:
        text, flags = self._text(position), self._flags[position]
        if flags & _FILE:
            return self._redaction.path(text)
        return self._redaction.word(text) if flags & _COMMAND else text

    def _position(self, identity: int) -> int:
        position = self._recent.get(identity, -1)
        if position < 0 and len(self._identities):
            row = int(np.searchsorted(self._identities, np.uint64(identity)))
            if row < len(self._identities) and self._identities[row] == identity:
                position = int(self._positions[row])
        return position

    def _resolve(self, name: Name, waiting: dict[int, Name]) -> str:
        text = name.text
        if name.kind is NameKind.COMMAND_LINE:
            return command_line(text, name.base, self._redaction)
        if name.kind not in FILE_KINDS:
            return text
        base, depth = name.base, 0
        while base and not text.startswith("/") and depth < DEPTH_LIMIT:
            known = self._position(base)
            earlier = self._text(known) if known >= 0 else ""
            following = 0 if earlier else waiting[base].base if base in waiting else 0
            parent = earlier or (waiting[base].text if base in waiting else "")
            if not parent:
                break
            text, base, depth = f"{parent}/{text}", following, depth + 1
        # Sockets, pipes and the like have no path: `pipe:[4711]` stays as the kernel writes it.
        return normalise(text) if "/" in text else text

    def _keep(self, name: Name, waiting: dict[int, Name]) -> str:
        if self._room <= 0:
            self.dropped += 1
            return ""
        return self._store(name.identity, name.kind, self._resolve(name, waiting))

    # One name for all that there was no room for: files apart from the rest, since they are shown differently.
    def _position_beyond(self, kind: NameKind) -> int:
        is_file = kind in FILE_KINDS
        if is_file not in self._beyond:
            self._beyond[is_file] = len(self._hashes)
            self._append(kind, BEYOND if is_file else STRING_BEYOND)
        return self._beyond[is_file]

    def _store(self, identity: int, kind: NameKind, text: str) -> str:
        position = self._recent[identity] = len(self._hashes)
        self._append(kind, text)
        if len(self._recent) >= RECENT_LIMIT:
            self._merge()
        return "" if kind in _WITHOUT_LINE else self._line(position)

    def _append(self, kind: NameKind, text: str) -> None:
        position = len(self._hashes)
        included = not self._directory or f"{text}/".startswith(self._directory)
        is_command = kind is NameKind.COMMAND
        self._flags.append(included * _INCLUDED | (kind in FILE_KINDS) * _FILE | is_command * _COMMAND)
        self._texts += raw_bytes(text)
        self._ends.append(len(self._texts))
        self._room -= self._ends[-1] - self._ends[-2] + _COST
        self._hashes.append(hash_number(self._shown(position)))  # that of the true one could be guessed

    # Where a file was that was opened by another name.
    def _place(self, name: Name) -> str:
        position = self._position(name.base)
        places = self._places.get(position, [])
        if position < 0 or name.text == self._text(position) or name.text in places or len(places) == PLACE_LIMIT:
            return ""
        if self._room <= 0:
            self.dropped += 1
            return ""
        self._room -= len(name.text) + _COST
        self._places[position] = [*places, name.text]
        return self._place_line(position, name.text) if self._flags[position] & _WRITTEN else ""

    def _place_line(self, position: int, place: str) -> str:
        shown = self._shown(position)
        # What is hidden under one name is not shown under another.
        visible = self._redaction.path(place) if shown == self._text(position) else ""
        return place_line(self._host_hash, self._hashes[position], visible) if visible else ""

    def _line(self, position: int) -> str:
        self._flags[position] |= _WRITTEN
        return self._name_line(position) + "".join(
            self._place_line(position, place) for place in self._places.get(position, ())
        )

    def _name_line(self, position: int) -> str:
        number = self._hashes[position]
        if number in self._emitted:
            return ""
        if len(self._emitted) >= RECENT_LIMIT:
            self._emitted.clear()  # a line written twice does no harm, a set without end would
        self._emitted.add(number)
        kind = "FH" if self._flags[position] & _FILE else "SH"
        return name_line(kind, self._host_hash, self._shown(position), number)

    def _merge(self) -> None:
        identities = np.fromiter(self._recent.keys(), dtype=np.uint64, count=len(self._recent))
        positions = np.fromiter(self._recent.values(), dtype=np.int64, count=len(self._recent))
        every = np.concatenate([self._identities, identities])
        order = np.argsort(every, kind="stable")
        self._identities = every[order]
        self._positions = np.concatenate([self._positions, positions])[order]
        self._recent.clear()


def name_line(kind: str, host_hash: str, text: str, number: int) -> str:
    """The metadata line that gives a hash its text (``HH``, ``FH`` or ``SH``)."""
    return (
        f'{{"name":"{kind}","cat":"dftracer","ph":"M","pid":0,"tid":0,"args":{{"hhash":"{host_hash}",'
        f'"name":{json_string(text)},"value":"{hash_text(number)}"{raw_argument(text)}}}}}\n'
    )


def place_line(host_hash: str, number: int, place: str) -> str:
    """The metadata line that says where a file was, which its name of the hash ``number`` does not."""
    return (
        f'{{"name":"datacrumbs_place","cat":"dftracer","ph":"M","pid":0,"tid":0,"args":{{"hhash":"{host_hash}",'
        f'"value":"{hash_text(number)}","place":{json_string(place)}{raw_argument(place)}}}}}\n'
    )


def metadata_line(name: str, process: int, thread: int, arguments: Iterable[tuple[str, str | int]]) -> str:
    """Any other metadata line, with flat arguments."""
    inner = ",".join(
        f"{json_string(key)}:{value if isinstance(value, int) else json_string(value)}" for key, value in arguments
    )
    return (
        f'{{"name":{json_string(name)},"cat":"dftracer","ph":"M","pid":{process},"tid":{thread},"args":{{{inner}}}}}\n'
    )

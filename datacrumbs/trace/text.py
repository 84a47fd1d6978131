"""How text enters a trace: hashed, escaped, and never as the user's raw bytes."""

from __future__ import annotations

import hashlib
import json


def raw_bytes(text: str) -> bytes:
    """The bytes that a ``text`` decoded with surrogateescape was made of; other lone surrogates become U+FFFD."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def hash_number(text: str) -> int:
    """The trace's hash of a string: the even-index bytes of its MD5, as a 64-bit number.

    The dialect's readers only compare hashes; DFTracer computes them so, hence the same file has the
    same hash in its traces and ours.
    """
    digest = hashlib.md5(raw_bytes(text), usedforsecurity=False).digest()
    return int.from_bytes(digest[::2], "big")


def hash_text(number: int) -> str:
    """A hash as the trace has it: 16 lower-case hex digits."""
    return f"{number:016x}"


def json_string(text: str) -> str:
    """``text`` as a JSON string, ASCII only, with what is not valid UTF-8 as U+FFFD.

    A lone surrogate escape would be JSON by its grammar, but readers refuse the line that has one.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = raw_bytes(text).decode("utf-8", "replace")
    return json.dumps(text)


def raw_argument(text: str) -> str:
    """The extra argument that lets a reader restore bytes that `json_string` could not keep, or nothing."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return f',"raw":"{raw_bytes(text).hex()}"'
    return ""


def restore(raw: str) -> str:
    """The text of a ``raw`` argument, decoded with surrogateescape."""
    return bytes.fromhex(raw).decode("utf-8", "surrogateescape")


def normalise(path: str) -> str:
    """A path without what means nothing: doubled slashes, ``.`` components, a slash at its end.

    ``..`` stays: where the component before it is a symbolic link, removing both names another file.
    """
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if path.startswith("/"):
        return "/" + "/".join(parts)
    return "/".join(parts) or "."

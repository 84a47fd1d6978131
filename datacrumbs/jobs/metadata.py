"""What a job says of tracing, the same for every scheduler.

It is exactly ``{"datacrumbs":{"enable":"yes","probe_file":"/path/to/probes.json.gz"}}``: in SLURM in the job's comment,
in Flux below ``attributes.system``. A comment may have a user's own text as well.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.probefile.codec import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "datacrumbs"
ENABLE, PROBE_FILE = "enable", "probe_file"
COMMENT = "comment"
"""Key of a user's own words in a comment that is an object for the metadata's sake."""
PATH_LIMIT = 4095
_EXPECTED = f'expected {{"{KEY}":{{"{ENABLE}":"yes","{PROBE_FILE}":"/path/to/probes.json.gz"}}}}'
_HOW = "submit with datacrumbs_sbatch, datacrumbs_salloc or datacrumbs_srun, which write it"
_FORMER = {
    "composite": f"compose a probe file with datacrumbs_probe_configurator and give its path as {PROBE_FILE}",
    "probes": f"compose a probe file with datacrumbs_probe_configurator and give its path as {PROBE_FILE}",
}
"""Keys of former versions, and what takes their place."""


def probe_file_of_comment(comment: str) -> str:
    """The probe file of a job, by its comment; empty when the job is not to be traced.

    A comment that is no JSON object, or one without our key, is the user's own business.

    Args:
        comment: As the scheduler gives it; bytes that are no UTF-8 as the environment has them.

    Raises:
        DatacrumbsError: (exit 2) when it says something of tracing that is not exactly right.
    """
    if f'"{KEY}"' not in comment:
        return ""
    try:
        document = parse(os.fsencode(comment), "the job's comment")
    except DatacrumbsError as error:
        if not comment.lstrip().startswith("{"):
            return ""
        raise usage_error(error.message, _HOW) from None
    if not isinstance(document, dict) or KEY not in document:
        return ""
    return probe_file_of(document[KEY])


def probe_file_of(section: object) -> str:
    """The probe file of a job, by what is under our key; empty when it says ``no``.

    Raises:
        DatacrumbsError: (exit 2) when it is not exactly right.
    """
    if not isinstance(section, dict):
        raise usage_error(f"{KEY}: {_shown(section)} is not an object; {_EXPECTED}", _HOW)
    for name, advice in _FORMER.items():
        if name in section:
            raise usage_error(f"{KEY}.{name}: no longer supported", advice)
    for name in section:
        if name not in {ENABLE, PROBE_FILE}:
            raise usage_error(f"{KEY}: unknown key {_shown(name)}; {_EXPECTED}", _HOW)
    enable = section.get(ENABLE)
    if enable not in ("yes", "no"):  # not a set: it may be a list
        said = "missing" if ENABLE not in section else f"{_shown(enable)} is neither yes nor no"
        raise usage_error(f"{KEY}.{ENABLE}: {said}; {_EXPECTED}", _HOW)
    path = _path(section)
    return path if enable == "yes" else ""


def _path(section: Mapping[str, object]) -> str:
    if PROBE_FILE not in section:
        if section[ENABLE] == "no":
            return ""
        raise usage_error(f"{KEY}.{PROBE_FILE}: missing; {_EXPECTED}", _HOW)
    path = section[PROBE_FILE]
    if not isinstance(path, str) or not path.startswith("/"):
        raise usage_error(f"{KEY}.{PROBE_FILE}: {_shown(path)} is not an absolute path", _HOW)
    try:
        length = len(os.fsencode(path))
    except UnicodeEncodeError:
        length = 0
    if not 0 < length <= PATH_LIMIT or (not path.isprintable() and any(ord(letter) < ord(" ") for letter in path)):
        raise usage_error(f"{KEY}.{PROBE_FILE}: {_shown(path)} is too long, or has control characters", _HOW)
    return path


def comment_with(probe_file: str, own: str | None = None) -> str:
    """A comment that asks for tracing, and keeps the user's own.

    A JSON object keeps its text, with our key as its last; any other comment becomes the value of ``comment``.

    Args:
        probe_file: Absolute path.
        own: The user's comment; None for none.

    Raises:
        DatacrumbsError: (exit 2) when it has our key, or when the path cannot be written.
    """
    section = {ENABLE: "yes", PROBE_FILE: probe_file}
    probe_file_of(section)
    entry = f"{_json(KEY)}:{_json(section)}"
    if own is None:
        return f"{{{entry}}}"
    try:
        document = parse(os.fsencode(own), COMMENT)
    except DatacrumbsError:
        document = own
    if not isinstance(document, dict):
        return f"{{{_json(COMMENT)}:{_json(own)},{entry}}}"
    if KEY in document:
        raise usage_error(f"the job's comment has the key {KEY!r} already", "leave it out of the comment")
    before = own.rstrip().removesuffix("}").rstrip()
    return f"{before}{',' if document else ''}{entry}}}"


# Text in UTF-8 as it is; bytes that are none come back from their escapes.
def _json(value: object) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text if _is_unicode(text) else json.dumps(value, separators=(",", ":"))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    return ascii(value)[:80]

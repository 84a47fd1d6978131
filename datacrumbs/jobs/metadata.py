"""What a job says of tracing, the same for every scheduler.

It is exactly ``{"datacrumbs":{"enable":"yes","probe_file":"/path/to/probes.json.gz"}}``: in SLURM in the job's comment,
in Flux below ``attributes.system``. A comment may have a user's own text as well.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

from datacrumbs.errors import DatacrumbsError, reworded, usage_error
from datacrumbs.jobs.metadata_section import ENABLE, HOW, KEY, PROBE_FILE, SectionError, asked_probe_file
from datacrumbs.probefile.codec import parse

COMMENT = "comment"
"""Key of a user's own words in a comment that is an object for the metadata's sake."""
_ATTRIBUTES, _SYSTEM = "attributes", "system"


def probe_file_of_comment(comment: str) -> str:
    """The probe file of a job, by its comment; empty when the job is not to be traced.

    A comment that is no JSON object, or one without our key, is the user's own business.

    Args:
        comment: As the scheduler gives it; bytes that are no UTF-8 as the environment has them.

    Raises:
        DatacrumbsError: (exit 2) when it says something of tracing that is not exactly right.
    """
    if f'"{KEY}"' not in comment or not comment.lstrip().startswith("{"):
        return ""
    with reworded(hint=HOW):
        document = parse(os.fsencode(comment), "the job's comment")
    if not isinstance(document, dict) or KEY not in document:
        return ""
    return probe_file_of(document[KEY])


def probe_file_of_jobspec(jobspec: bytes) -> str:
    """The probe file of a job, by its jobspec (RFC 14 of Flux); empty when the job is not to be traced.

    Raises:
        DatacrumbsError: (exit 2) when it is no JSON, or says something of tracing that is not exactly right.
    """
    section = parse(jobspec, "the jobspec")
    for key in (_ATTRIBUTES, _SYSTEM, KEY):
        if not isinstance(section, dict) or key not in section:
            return ""
        section = section[key]
    return probe_file_of(section)


def probe_file_of(section: object) -> str:
    """The probe file of a job, by what is under our key; empty when it says ``no``.

    Raises:
        DatacrumbsError: (exit 2) when it is not exactly right.
    """
    try:
        return asked_probe_file(section)
    except SectionError as error:
        raise usage_error(error.message, error.hint) from None


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
    document: object = own
    with suppress(DatacrumbsError):
        document = parse(os.fsencode(own), COMMENT)
    if not isinstance(document, dict):
        return f"{{{_json(COMMENT)}:{_json(own)},{entry}}}"
    if KEY in document:
        raise usage_error(f"the job's comment has the key {KEY!r} already", "leave it out of the comment")
    before = own.rstrip().removesuffix("}").rstrip()
    return f"{before}{',' if document else ''}{entry}}}"


# Text in UTF-8 as it is; bytes that are none come back from their escapes.
def _json(value: object) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text

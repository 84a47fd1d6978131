"""What looks at target files found in earlier recordings of root's own, kept where root alone writes.

The looks take most of the time of a decision. What was found of a file holds for the state in which it was: device,
inode, size and times of the open file, of which a user cannot set back the last; and for files of root's alone, since
who may write a file can change it through a mapping, which changes none of these. It holds for the places that were
asked for, and for the rules by which this package reads files. The signing service keeps nothing of this kind.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.cache import analysis_cache
from datacrumbs.cache.inspected_files import SETTLED_SECONDS
from datacrumbs.signer import target_check

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader

    from datacrumbs.signer.target_check import Ask, Verdict, WantedPlaces

_KIND = "look"


def kept_looks(directory: Path) -> Ask:
    """Gives what was found before, from a directory of root's; else looks, and keeps that nothing is wrong."""

    def ask(stream: BufferedReader, wanted: WantedPlaces, look: Callable[[], Verdict]) -> Verdict:
        status = os.fstat(stream.fileno())
        others_write = status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if others_write or abs(time.time() - status.st_ctime) < SETTLED_SECONDS:
            return look()  # it may change again within the same tick
        state = [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        key = [
            state,
            hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest(),
            analysis_cache.rules(),
            _own_rules(),
        ]
        if analysis_cache.taken_from(directory, _KIND, key) is not None:
            return "", "", ""
        found = look()
        if found == ("", "", ""):  # what is wrong is looked at again
            analysis_cache.put_into(directory, _KIND, key, [])
        return found

    return ask


# Of what asks `elf` in a look.
def _own_rules() -> str:
    directory = Path(target_check.__file__).parent
    sources = [(directory / name).read_bytes() for name in ("target_check.py", "looking.py", "places.py")]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()

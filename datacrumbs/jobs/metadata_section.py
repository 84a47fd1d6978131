"""What is under our key in a job's metadata, checked strictly.

Flux loads this file by its path into its own interpreter, which may be as old as Python 3.6 and has none of our
packages: it imports the standard library only, and uses nothing newer.
"""

import os

KEY = "datacrumbs"
ENABLE, PROBE_FILE = "enable", "probe_file"
PATH_LIMIT = 4095
_EXPECTED = f'expected {{"{KEY}":{{"{ENABLE}":"yes","{PROBE_FILE}":"/path/to/probes.json.gz"}}}}'
HOW = (
    "submit with datacrumbs_sbatch, datacrumbs_salloc or datacrumbs_srun, or with Flux's own commands and "
    "--datacrumbs-enable --datacrumbs-probe-file FILE, which write it"
)
"""How metadata is written that is right."""
_COMPOSE = f"compose a probe file with datacrumbs_probe_configurator and give its path as {PROBE_FILE}"
_FORMER = {"composite": _COMPOSE, "probes": _COMPOSE}
"""Keys of former versions, and what takes their place."""


class SectionError(ValueError):
    """What is not exactly right.

    Args:
        message: What is wrong.
        hint: How it is made right.
    """

    def __init__(self, message: str, hint: str = HOW) -> None:
        super().__init__(f"{message}: {hint}")
        self.message = message
        self.hint = hint


def asked_probe_file(section: object) -> str:
    """The probe file of a job, by what is under our key; empty when it says ``no``.

    Raises:
        SectionError: When it is not exactly right.
    """
    if not isinstance(section, dict):
        raise SectionError(f"{KEY}: {_shown(section)} is not an object; {_EXPECTED}")
    for name, advice in _FORMER.items():
        if name in section:
            raise SectionError(f"{KEY}.{name}: no longer supported", advice)
    for name in section:
        if name not in {ENABLE, PROBE_FILE}:
            raise SectionError(f"{KEY}: unknown key {_shown(name)}; {_EXPECTED}")
    enable = section.get(ENABLE)
    if enable not in ("yes", "no"):  # not a set: it may be a list
        said = "missing" if ENABLE not in section else f"{_shown(enable)} is neither yes nor no"
        raise SectionError(f"{KEY}.{ENABLE}: {said}; {_EXPECTED}")
    if PROBE_FILE not in section and enable == "yes":
        raise SectionError(f"{KEY}.{PROBE_FILE}: missing; {_EXPECTED}")
    path = _path(section[PROBE_FILE]) if PROBE_FILE in section else ""
    return path if enable == "yes" else ""


def _path(path: object) -> str:
    if not isinstance(path, str) or not path.startswith("/"):
        raise SectionError(f"{KEY}.{PROBE_FILE}: {_shown(path)} is not an absolute path")
    try:
        length = len(os.fsencode(path))
    except UnicodeEncodeError:
        length = 0
    if not 0 < length <= PATH_LIMIT or any(letter < " " for letter in path):
        raise SectionError(f"{KEY}.{PROBE_FILE}: {_shown(path)} is too long, or has control characters")
    return path


def _shown(value: object) -> str:
    return ascii(value)[:80]

"""Who a run is: its id, its user, and where its trace goes."""

from __future__ import annotations

import os
import pwd
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datacrumbs.errors import usage_error
from datacrumbs.model.contract import RUN_ID_LONGEST
from datacrumbs.secure.user_rights import is_unused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path, PurePath

    from datacrumbs.model.plan import Mode
    from datacrumbs.system import SystemConfiguration

JOB_VARIABLES = ("SLURM_JOB_ID", "FLUX_JOB_ID", "PBS_JOBID", "LSB_JOBID")
_FLUX_JOB_ID = "FLUX_JOB_ID"
TRACING_ID = 65521
"""The user and group id of processes that trace: one that systemd and distributions leave unused (UIDS-GIDS of
systemd), so that no other process has it, and none can send signals to them but root's."""
_SAFE = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._-]{{0,{RUN_ID_LONGEST - 1}}}")
_F58_LETTER = "\N{LATIN SMALL LETTER F WITH HOOK}"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_F58 = re.compile(f"f[{_BASE58}]{{1,12}}")
_FLUX_FORMS = (
    (re.compile(r"([0-9]{1,20})"), 10),
    (re.compile(r"0[xX]([0-9a-fA-F]{1,16})"), 16),
    (re.compile(r"(?:job\.)?((?:[0-9a-fA-F]{4}\.){3}[0-9a-fA-F]{4})"), 16),
)
_FIELD = re.compile(r"\{([^}]*)\}")
_UNSAFE_CHARACTER = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose processes are traced, and who owns the trace."""

    uid: int
    gid: int
    name: str


@dataclass(frozen=True, slots=True)
class Instance:
    """What a run is asked to do.

    Args:
        probes: The signed probe file.
        uid: The user that its grant must name; None accepts every user's grant.
        mode: How all calls are recorded; None for what the plan says of each.
        limits: Keys of the system configuration that this run has other values for.
        unnamed: Whether marks of processes are taken that name no run.
        processes: Running processes that are traced without marks.
        group: The control group whose processes are traced without marks.
        awaited: Names of that group if it may not exist yet, each with its parent's before it: ``scope/job_28``.
        maker: User id that makes that group; root may always.
        job: The scheduler's job, by whose id marks may mean the run as well; empty for none.
    """

    probes: Path
    uid: int | None = None
    mode: Mode | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    unnamed: bool = True
    processes: tuple[int, ...] = ()
    group: Path | None = None
    awaited: tuple[str, ...] = ()
    maker: int = 0
    job: str = ""


def run_id(argument: str | None, environment: Mapping[str, str], now: float) -> str:
    """The id of a run: the argument, else the scheduler's job id, else a timestamp.

    Raises:
        DatacrumbsError: (exit 2) when it is no plain name; it becomes part of paths.

    """
    source, value = "run id", argument
    if value is None:
        source = next((name for name in JOB_VARIABLES if environment.get(name)), "")
        value = environment[source] if source else time.strftime("%Y%m%dT%H%M%S", time.localtime(now))
    value = _plain_flux_id(value, anyhow=source == _FLUX_JOB_ID)
    if not _SAFE.fullmatch(value):
        raise usage_error(
            f"{source}: {value[:80]!r} may contain only letters, digits, `.`, `-` and `_`",
            "use 1 to 64 letters, digits and these signs, and do not start with a dot or dash",
        )
    return value


def flux_job_id(text: str) -> str:
    """A job id of Flux in the form that its names of units have, whatever form it is in.

    Raises:
        DatacrumbsError: (exit 2) when it is none.
    """
    plain = _plain_flux_id(text, anyhow=True)
    if not _F58.fullmatch(plain):
        raise usage_error(f"{_FLUX_JOB_ID}: {text[:80]!a} is not a job id of Flux")
    return plain


# Flux writes one job id in several ways, the usual one (F58) with a letter outside of ASCII in front; all become F58
# with a plain "f", as in Flux's names of units (its RFC 19). An `anyhow` is known to be a job id of Flux.
def _plain_flux_id(value: str, *, anyhow: bool) -> str:
    text = os.fsencode(value).decode("utf-8", "replace")
    if text.startswith(_F58_LETTER):
        return f"f{text.removeprefix(_F58_LETTER)}"
    number = _flux_number(text) if anyhow else None
    return value if number is None else f"f{_base58(number)}"


def _flux_number(text: str) -> int | None:
    for pattern, base in _FLUX_FORMS:
        if match := pattern.fullmatch(text):
            number = int(match[1].replace(".", ""), base)
            return number if number < 1 << 64 else None
    return None


def _base58(number: int) -> str:
    digits = ""
    while number or not digits:
        number, rest = divmod(number, len(_BASE58))
        digits = _BASE58[rest] + digits
    return digits


def names_of(run: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """By which names marks may mean a run: its id and, for a job of Flux, the forms that its processes may have it in.

    Args:
        run: The run id.
        environment: The daemon's.
    """
    if environment.get(_FLUX_JOB_ID) and run == _plain_flux_id(environment[_FLUX_JOB_ID], anyhow=True):
        number = _flux_number(environment[_FLUX_JOB_ID])
        digits = [] if number is None else [str(number), f"{number:#x}", _dotted(number)]
        return (run, _F58_LETTER + run[1:], *digits)
    return (run, *([_F58_LETTER + run[1:]] if _F58.fullmatch(run) else []))


def is_job(argument: str | None, environment: Mapping[str, str]) -> bool:
    """Whether `run_id` takes a run's id from the scheduler: then the run is that job's alone."""
    return argument is None and any(environment.get(name) for name in JOB_VARIABLES)


def _dotted(number: int) -> str:
    text = f"{number:016x}"
    return ".".join(text[place : place + 4] for place in range(0, 16, 4))


def owner(uid: int) -> Owner:
    """The owner with this user id; users without an account are named by their number."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Owner(uid, uid, str(uid))
    return Owner(uid, entry.pw_gid, entry.pw_name)


def tracing_id() -> int:
    """The id of the process that traces once it gives up root's: `TRACING_ID`, unless somebody has it; 0 then."""
    return TRACING_ID if is_unused(TRACING_ID) else 0


def path_word(text: str) -> str:
    """A text as it is in the path of a trace."""
    return _UNSAFE_CHARACTER.sub("_", text).lstrip(".") or "_"


def trace_name(
    configuration: SystemConfiguration, *, user: str, run: str, host: str, probes: PurePath, now: float
) -> tuple[str, ...]:
    """The path components of the trace below the trace directory.

    Raises:
        DatacrumbsError: (exit 2) for an unknown field or an absolute or climbing pattern.

    """
    moment = time.localtime(now)
    fields = {
        "user": user,
        "run_id": run,
        "host": host,
        "probes": probes.name.split(".")[0],
        "year": time.strftime("%Y", moment),
        "month": time.strftime("%m", moment),
        "day": time.strftime("%d", moment),
        "time": time.strftime("%H%M%S", moment),
    }
    safe = {key: path_word(value) for key, value in fields.items()}
    for name in _FIELD.findall(configuration.trace_pattern):
        if name not in safe:
            raise usage_error(
                f"datacrumbs.yaml: trace_pattern: {{{name}}} is not a field; expected {', '.join(sorted(fields))}"
            )
    text = _FIELD.sub(lambda match: safe[match[1]], configuration.trace_pattern)
    components = tuple(part for part in text.split("/") if part)
    if text.startswith("/") or ".." in components or not components or not text.endswith(".pfw.gz"):
        raise usage_error(
            f"datacrumbs.yaml: trace_pattern: {configuration.trace_pattern!r} is not a path below the trace directory; "
            "expected something like {user}/{run_id}-{host}.pfw.gz"
        )
    return components

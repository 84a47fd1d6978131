"""What ``datacrumbs_doctor`` finds: of the host, of the installation, of each provider."""

from __future__ import annotations

import json
import os
import stat
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from datacrumbs.client import client_library, launcher
from datacrumbs.commands._console import table_console
from datacrumbs.commands._host_checks import host_checks
from datacrumbs.commands._main import for_prefix
from datacrumbs.configure.host import current_host
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.installed import changeable_code
from datacrumbs.output import counted, printable, printable_lines
from datacrumbs.plugins import load_providers
from datacrumbs.probefile.keys import trusted_key_ids
from datacrumbs.provider import Check, CheckState
from datacrumbs.quantities import MEGABYTE, shown_duration, shown_size
from datacrumbs.runs.run_client import allowed_runs
from datacrumbs.secure.files import first_unprotected
from datacrumbs.secure.user_rights import NOBODY, rights_of
from datacrumbs.serving.denial import DenialError
from datacrumbs.signer.provider_snippets import package_directories, provider_distributions
from datacrumbs.signer.signing_client import service_key_id
from datacrumbs.system import SystemPaths, read_system_configuration

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Sequence

HOST, INSTALLATION = "host", "installation"
_STYLES = {CheckState.OK: "green", CheckState.WARNING: "yellow", CheckState.MISSING: "red"}

Finding = tuple[str, Check]
"""Who looked (`HOST`, `INSTALLATION` or a provider's name), and what was found."""


def diagnose(options: argparse.Namespace) -> int:
    """Print all findings.

    Returns:
        0 when tracing can work here, else 1.
    """
    findings = [
        (area, replace(check, fix=for_prefix(check.fix, options.prefix)))
        for area, check in examine(SystemPaths(options.prefix))
    ]
    works = can_trace(findings)
    if options.json:
        rows = [
            {"area": area, "name": each.name, "state": each.state.value, "detail": each.detail, "fix": each.fix}
            for area, each in findings
        ]
        print(json.dumps({"tracing_works": works, "checks": rows}, indent=2))
    else:
        _print_table(findings, works=works)
    return ExitCode.DONE if works else ExitCode.FAILED


def examine(paths: SystemPaths) -> Iterator[Finding]:
    """All findings: of the host, of the installation below ``paths``, of each provider."""
    yield from ((HOST, check) for check in host_checks())
    yield from ((INSTALLATION, check) for check in installation_checks(paths))
    yield from provider_checks()


def can_trace(findings: Iterable[Finding]) -> bool:
    """Whether nothing that every run needs is missing; a provider without its library is no obstacle."""
    return not any(area in {HOST, INSTALLATION} and check.state is CheckState.MISSING for area, check in findings)


def installation_checks(paths: SystemPaths) -> Iterator[Check]:
    """What DataCrumbs itself needs below a prefix: the client, keys, configuration, the service."""
    copied = _setup(paths, "or copy the signing host's public key there")
    yield _looked("client", _client)
    yield _code(paths)
    yield _looked("system configuration", lambda: _system_configuration(paths))
    yield _looked("trusted keys", lambda: _trusted_keys(paths, copied), fix=copied)
    yield _private_key(paths)
    yield _looked("signing service", lambda: _service(paths), CheckState.WARNING)
    yield _looked("service of runs", lambda: _runs(paths), CheckState.WARNING)


# The boundary of a check: what fails while looking is what was found.
def _looked(name: str, look: Callable[[], Check], state: CheckState = CheckState.MISSING, fix: str = "") -> Check:
    try:
        return look()
    except DatacrumbsError as error:
        return Check(name, state, error.message, error.hint or fix)


def provider_checks() -> Iterator[Finding]:
    """What each installed provider finds; providers that cannot be loaded are one finding."""
    try:
        providers = load_providers(without=_not_roots() if os.geteuid() == 0 else ())
    except DatacrumbsError as error:
        yield INSTALLATION, Check("providers", CheckState.MISSING, error.message, error.hint)
        return
    names = ", ".join(providers.names)
    if names:
        yield INSTALLATION, Check("providers", CheckState.OK, names)
    else:
        fix = "install datacrumbs-posix, datacrumbs-sys ..."
        yield INSTALLATION, Check("providers", CheckState.MISSING, "none is installed", fix)
    host = current_host()
    for name in providers.names:
        try:
            yield from ((name, check) for check in providers.checks(name, host))
        except DatacrumbsError as error:
            yield name, Check("its own checks", CheckState.WARNING, error.message, error.hint)


# As root, no provider runs whose code others can change: a doctor is asked before anything is trusted.
def _not_roots() -> tuple[str, ...]:
    return tuple(
        name
        for name, distribution in provider_distributions().items()
        if any(first_unprotected(place.resolve(), sticky=True) for place in package_directories(name, distribution))
    )


def _client() -> Check:
    return Check("client", CheckState.OK, f"{client_library()}, {launcher()}")


def _code(paths: SystemPaths) -> Check:
    name = "code that root runs"
    changeable = changeable_code()
    if changeable is None:
        return Check(name, CheckState.OK, "root's alone")
    state = CheckState.MISSING if paths.prefix == Path("/") and os.geteuid() == 0 else CheckState.WARNING
    return Check(
        name, state, f"{changeable}: users other than root can change it", "sudo make install, then use that one"
    )


def _system_configuration(paths: SystemPaths) -> Check:
    configuration = read_system_configuration(paths)
    source = str(paths.system_file) if paths.system_file.exists() else "defaults"
    return Check("system configuration", CheckState.OK, f"{source}; traces go to {configuration.trace_log_dir}")


def _trusted_keys(paths: SystemPaths, fix: str) -> Check:
    name, keys = "trusted keys", trusted_key_ids(paths.trusted_keys)
    if not keys:
        return Check(name, CheckState.MISSING, f"none in {paths.trusted_keys}: every probe file is refused", fix)
    return Check(name, CheckState.OK, ", ".join(key[:16] for key in keys))


def _private_key(paths: SystemPaths) -> Check:
    name, path = "signing key", paths.private_key
    try:
        status = path.lstat()
    except PermissionError:
        return Check(name, CheckState.OK, f"{path.parent} is closed to this user, as it should be")
    except OSError:
        detail = f"no {path}: this host cannot sign, which is right for a compute node"
        return Check(name, CheckState.WARNING, detail, _setup(paths, "on the host that signs"))
    owner = 0 if paths.prefix == Path("/") else os.geteuid()
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode) or mode & 0o377 or status.st_uid not in {0, owner}:
        detail = f"{path} has mode {mode:04o} and owner {status.st_uid}; others may have read it"
        return Check(name, CheckState.MISSING, detail, f"make a new key: remove {path}, then {_setup(paths)}")
    return Check(name, CheckState.OK, f"{path}, mode {mode:04o}")


def _service(paths: SystemPaths) -> Check:
    name = "signing service"
    # A relay's signing host refuses root, so root asks as nobody.
    with rights_of(NOBODY, NOBODY, []) if read_system_configuration(paths).signing_host else nullcontext():
        key = service_key_id(paths)
    if key not in trusted_key_ids(paths.trusted_keys):
        detail = f"signs with key {key[:16]}, which this host does not trust"
        return Check(name, CheckState.WARNING, detail, f"copy its public key to {paths.trusted_keys}")
    return Check(name, CheckState.OK, f"{paths.signing_socket}, key {key[:16]}")


# Whether it answers, and what it lets this user do.
def _runs(paths: SystemPaths) -> Check:
    name = "service of runs"
    try:
        may = allowed_runs(paths)
    except DenialError as error:
        return Check(name, CheckState.WARNING, f"{paths.runs_socket}: {error.message}", error.hint)
    size, total = (shown_size(round(may[key] * MEGABYTE)) for key in ("size", "total"))
    lasting = shown_duration(may["duration"])
    most = f"{counted(may['at_once'], 'run')} at once, of {lasting}, traces of {size} and {total} in all"
    return Check(name, CheckState.OK, f"{paths.runs_socket}: {' or '.join(may['modes'])}; {most}")


def _setup(paths: SystemPaths, where: str = "") -> str:
    prefix = "" if paths.prefix == Path("/") else f" --prefix {paths.prefix}"
    return f"sudo datacrumbs_setup{prefix} {where}".rstrip()


def _print_table(findings: Sequence[Finding], *, works: bool) -> None:
    table = Table(title="DataCrumbs on this host", title_justify="left")
    for heading in ("area", "check", "found, and how to fix it"):
        table.add_column(heading, overflow="fold")
    shown = ""
    for area, check in findings:
        style = _STYLES[check.state]
        name = f"{check.state.value}: {check.name}" if check.state is not CheckState.OK else check.name
        if shown not in {"", area}:
            table.add_section()
        found = Text(printable_lines(check.detail))
        if check.fix:
            found.append("\nfix:", "bold").append(f" {printable_lines(check.fix)}")
        table.add_row("" if area == shown else printable(area), Text(printable(name), style), found)
        shown = area
    console = table_console()
    console.print(table)
    console.print(printable("Tracing can work here." if works else _what_is_missing(findings)), soft_wrap=True)


def _what_is_missing(findings: Sequence[Finding]) -> str:
    lacking = [(area, check.name) for area, check in findings if check.state is CheckState.MISSING]
    names = ", ".join(name for area, name in lacking if area in {HOST, INSTALLATION})
    able = all(area != HOST for area, _ in lacking)
    if able:
        return f"sudo datacrumbs record CMD works here. To trace with signed probe files, fix {names}."
    return f"Tracing cannot work here yet: fix {names}."

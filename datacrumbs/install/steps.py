"""Making and removing the files of an installation, as `datacrumbs_setup` does.

Every step looks first and changes only what is not as it should be, so it can be run again at any time.
"""

from __future__ import annotations

import shutil
import stat
import sys
import sysconfig
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.installed import SHIPPED, installed
from datacrumbs.probefile.keys import KEY_FILE_LIMIT, key_file_name, parse_public_key, public_key_pem, trusted_key_ids
from datacrumbs.probefile.revocation import FILE_NAME
from datacrumbs.secure.files import check_protected, read_bounded, write_atomically
from datacrumbs.signer.policy import read_policy
from datacrumbs.signer.private_key import create_private_key, load_private_key
from datacrumbs.signer.provider_snippets import installed_snippets, provider_distributions
from datacrumbs.signer.snippets import TrustedSnippet, read_trusted, write_trusted
from datacrumbs.system import SEARCHED, read_system_configuration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from datacrumbs.system import SystemPaths

BUNDLED = ("posix", "sys", "mpi", "hdf5")
SIGNING_UNIT = "datacrumbs_sign_probes.service"
SIGNING_SOCKET = "datacrumbs_sign_probes.socket"
RUN_UNIT = "datacrumbs@.service"


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one thing: ``made``, ``kept``, ``updated``, ``removed`` or ``missing``."""

    state: str
    what: str
    note: str = ""


def install(paths: SystemPaths, stage: str, trust_key: Path | None = None) -> Iterator[Step]:
    """Make what a stage needs.

    Args:
        paths: The installation.
        stage: ``login`` (where plans are signed), ``compute`` (where programs are traced) or ``all``.
        trust_key: A signing host's public key to be trusted here.

    Raises:
        DatacrumbsError: When a file cannot be made, or one that is there cannot be relied on.
    """
    for directory, mode in _directories(paths, stage):
        yield _directory(directory, mode)
    if stage != "compute":
        yield from _key_pair(paths)
        yield _file(paths.policy, _shipped("policy.yaml"))
        read_policy(paths.policy)
        yield from _trust_bundled(paths)
        yield from _site_file(paths)
        yield from (_unit(paths, unit) for unit in (SIGNING_SOCKET, SIGNING_UNIT))
    if trust_key is not None:
        yield trust_public_key(paths, parse_public_key(read_bounded(trust_key, KEY_FILE_LIMIT), trust_key))
    yield _file(paths.system_file, _shipped("datacrumbs.yaml"))
    yield _filled(paths, _temporary_files(paths), "tmpfiles.conf")
    if stage != "login":
        yield from _seal_key_pair(paths)
        yield _unit(paths, RUN_UNIT)
        if not trusted_key_ids(paths.trusted_keys):
            yield Step(
                "missing",
                str(paths.trusted_keys),
                "no key is trusted here: run datacrumbs_setup --stage compute --trust-key <the signing host's .pem>",
            )


def uninstall(paths: SystemPaths) -> Iterator[Step]:
    """Remove what `install` made. Traces stay; so does what an administrator has added or changed."""
    yield from _uninstall_defaults(paths)
    doomed = [paths.trusted_snippets, paths.signing_socket]
    doomed += [_unit_directory(paths) / unit for unit in (SIGNING_UNIT, SIGNING_SOCKET, RUN_UNIT)]
    doomed += [_temporary_files(paths)]
    if paths.private_key.exists():
        doomed.append(paths.private_key)
    doomed += [
        path for path in (paths.next_private_key, paths.seal_key, paths.trusted_keys / FILE_NAME) if path.exists()
    ]
    trust = (paths.trusted_keys, paths.seal_keys)
    # All of them: trust that stays behind would be found again by the next installation.
    doomed += [each / f"{identity}.pem" for each in trust for identity in trusted_key_ids(each)]
    yield from (_removed(path) for path in doomed if path.exists())
    if paths.state.is_dir():
        yield from (_removed_tree(path) for path in paths.state.iterdir() if path != paths.seals)
    kept = {paths.traces: "traces", paths.seals: "seals", paths.state: "seals"}
    for directory, _ in reversed(_directories(paths, "all") + _seal_directories(paths)):
        if directory.is_dir():
            yield _removed_if_empty(directory, kept.get(directory, "not empty"))


def _uninstall_defaults(paths: SystemPaths) -> Iterator[Step]:
    defaults = {
        paths.policy: _shipped("policy.yaml"),
        paths.system_file: _shipped("datacrumbs.yaml"),
        paths.site_files / "default.yaml": _in_package("configure/default.yaml"),
    }
    for path, shipped in defaults.items():
        if path.exists():
            changed = path.read_bytes() != shipped
            yield Step("kept", str(path), "changed since it was made") if changed else _removed(path)


def _directories(paths: SystemPaths, stage: str) -> list[tuple[Path, int]]:
    common = [(paths.configuration, 0o755), (paths.trusted_keys, 0o755), (paths.run, SEARCHED)]
    login = [(paths.private_key.parent, 0o700), (paths.site_files, 0o755)]
    compute = [(paths.state, 0o700), (paths.traces, SEARCHED)]
    return common + (login if stage != "compute" else []) + (compute if stage != "login" else [])


def _seal_directories(paths: SystemPaths) -> list[tuple[Path, int]]:
    return [(paths.seal_key.parent, 0o700), (paths.seal_keys, 0o755), (paths.state, 0o700), (paths.seals, 0o700)]


def _shipped(name: str) -> bytes:
    return installed("data", SHIPPED / name).read_bytes()


def _in_package(name: str) -> bytes:
    source = files("datacrumbs").joinpath(name)
    return source.read_bytes() if source.is_file() else b""


def _directory(path: Path, mode: int) -> Step:
    try:
        if not path.exists() and not path.is_symlink():
            path.mkdir(parents=True)
            path.chmod(mode)
            return Step("made", str(path))
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise DatacrumbsError(f"{path}: exists and is no directory", hint="move it away")
        fixed = stat.S_IMODE(status.st_mode) != mode
        if fixed:
            path.chmod(mode)
        check_protected(path)
    except OSError as error:
        raise DatacrumbsError(f"{path}: cannot be made: {error.strerror}", hint="run this as root") from None
    return Step("updated", str(path), f"mode {mode:04o}") if fixed else Step("kept", str(path))


def _file(path: Path, content: bytes, mode: int = 0o644) -> Step:
    if path.exists() or path.is_symlink():
        check_protected(path)
        return Step("kept", str(path))
    write_atomically(path, content, mode)
    return Step("made", str(path))


def _key_pair(paths: SystemPaths) -> Iterator[Step]:
    key, step = signing_key(paths.private_key)
    yield step
    yield trust_public_key(paths, key.public_key())


# A key of the node's own, apart from those that sign probe files: who is root on one node must not sign for others.
def _seal_key_pair(paths: SystemPaths) -> Iterator[Step]:
    if not read_system_configuration(paths).seal_traces:
        return
    for directory, mode in _seal_directories(paths):
        yield _directory(directory, mode)
    key, step = signing_key(paths.seal_key)
    yield step
    yield _file(paths.seal_keys / key_file_name(key.public_key()), public_key_pem(key.public_key()))


def signing_key(path: Path) -> tuple[Ed25519PrivateKey, Step]:
    """The private key there, made if there is none.

    Raises:
        DatacrumbsError: When it cannot be made, or what is there cannot be relied on.
    """
    if path.exists() or path.is_symlink():
        return load_private_key(path), Step("kept", str(path))
    return create_private_key(path), Step("made", str(path))


def trust_public_key(paths: SystemPaths, key: Ed25519PublicKey) -> Step:
    """Put a public key into the trust directory."""
    return _file(paths.trusted_keys / key_file_name(key), public_key_pem(key))


def _trust_bundled(paths: SystemPaths) -> Iterator[Step]:
    known = set(read_trusted(paths.trusted_snippets))
    installed = provider_distributions()
    wanted: set[TrustedSnippet] = set()
    for provider in BUNDLED:
        distribution = installed.get(provider)
        # A stranger's provider of the same name is not ours to trust.
        if distribution is not None and distribution.metadata["Name"].replace("_", "-") == f"datacrumbs-{provider}":
            wanted.update(snippet.entry for snippet in installed_snippets(provider))
    if wanted <= known and paths.trusted_snippets.exists():
        yield Step("kept", str(paths.trusted_snippets), f"{len(known)} trusted snippets")
        return
    write_trusted(paths.trusted_snippets, known | wanted)
    yield Step("made", str(paths.trusted_snippets), f"{len(known | wanted)} trusted snippets")


def _site_file(paths: SystemPaths) -> Iterator[Step]:
    content = _in_package("configure/default.yaml")
    if content:
        yield _file(paths.site_files / "default.yaml", content)


def _unit_directory(paths: SystemPaths) -> Path:
    return paths.prefix / "etc/systemd/system"


def _temporary_files(paths: SystemPaths) -> Path:
    return paths.prefix / "etc/tmpfiles.d/datacrumbs.conf"


def _unit(paths: SystemPaths, name: str) -> Step:
    step = _filled(paths, _unit_directory(paths) / name, name)
    changed = step.state != "kept" and str(paths.prefix) == "/"
    return Step(step.state, step.what, "then: systemctl daemon-reload") if changed else step


# What is derived from the installation is written anew; an administrator changes units by drop-ins.
def _filled(paths: SystemPaths, path: Path, name: str) -> Step:
    content = unit_text(name, paths).encode()
    if path.is_file() and path.read_bytes() == content:
        return Step("kept", str(path))
    state = "updated" if path.exists() else "made"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatacrumbsError(f"{path.parent}: cannot be made: {error.strerror}", hint="run this as root") from None
    write_atomically(path, content)
    return Step(state, str(path))


def unit_text(name: str, paths: SystemPaths) -> str:
    """A unit file for an installation.

    Args:
        name: Name of the unit.
        paths: The installation; the directory of traces in its system configuration may be written by a run.

    Raises:
        DatacrumbsError: (exit 2) for a path that a unit file cannot hold.
    """
    filled = {
        "@PYTHON@": sys.executable,
        "@SCRIPTS@": sysconfig.get_path("scripts"),
        "@PREFIX@": str(paths.prefix).rstrip("/") + "/",
        "@TRACES@": str(read_system_configuration(paths).trace_log_dir),
    }
    text = _shipped(name).decode()
    for mark, path in filled.items():
        if not path.isascii() or any(character in path for character in " \t\n%$\"'\\;"):
            raise usage_error(f"{path!a}: expected a path without spaces, quotes, % and $ for systemd units")
        text = text.replace(mark, path)
    return text


def _removed_if_empty(directory: Path, otherwise: str) -> Step:
    try:
        directory.rmdir()
    except OSError:
        return Step("kept", str(directory), otherwise)
    return Step("removed", str(directory))


# What daemons remember between runs; nothing in it is an administrator's.
def _removed_tree(directory: Path) -> Step:
    try:
        shutil.rmtree(directory) if directory.is_dir() else directory.unlink()
    except OSError as error:
        raise DatacrumbsError(f"{directory}: cannot be removed: {error.strerror}", hint="run this as root") from None
    return Step("removed", str(directory))


def _removed(path: Path) -> Step:
    try:
        path.unlink()
    except OSError as error:
        raise DatacrumbsError(f"{path}: cannot be removed: {error.strerror}", hint="run this as root") from None
    return Step("removed", str(path))

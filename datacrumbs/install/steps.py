"""Making and removing the files of an installation, as `datacrumbs_setup` does.

Every step looks first and changes only what is not as it should be, so it can be run again at any time.
"""

from __future__ import annotations

import shutil
import stat
from dataclasses import replace
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING

from datacrumbs.daemon.run_files import files_of_past_runs
from datacrumbs.errors import DatacrumbsError
from datacrumbs.install.step import Step, by_root, removed, removed_if_empty
from datacrumbs.install.units import (
    RELAY_UNITS,
    RUN_UNITS,
    SIGNING_UNITS,
    drop_in_directory,
    hooks,
    other_installation,
    shipped,
    temporary_files,
    unit,
    written,
)
from datacrumbs.output import counted
from datacrumbs.probefile.keys import key_file_name, public_key_pem, trusted_key_ids
from datacrumbs.probefile.revocation import FILE_NAME
from datacrumbs.runs.run_policy import read_run_policy
from datacrumbs.secure.files import check_protected, write_atomically
from datacrumbs.signer.policy import read_policy
from datacrumbs.signer.private_key import load_private_key, new_private_key, write_private_key
from datacrumbs.signer.provider_snippets import installed_snippets, provider_distributions
from datacrumbs.signer.snippets import TrustedSnippet, read_trusted, write_trusted
from datacrumbs.system import SEARCHED, read_system_configuration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from datacrumbs.system import SystemPaths

SIGNING = ("login", "all")
TRACING = ("compute", "all")
RELAYING = ("relay",)
"""Stages by what they make a host able to do."""
BUNDLED = ("posix", "sys", "mpi", "hdf5")


def install(paths: SystemPaths, stage: str, trust_key: Ed25519PublicKey | None = None) -> Iterator[Step]:
    """What makes all that a stage needs, one step after the other: `performed` does them.

    Args:
        paths: The installation.
        stage: ``login`` (where plans are signed), ``compute`` (where programs are traced), ``all`` (both), or ``relay``
            (a login node that hands plans to the signing host).
        trust_key: A signing host's public key to be trusted here.

    Raises:
        DatacrumbsError: When a file cannot be made, or one that is there cannot be relied on.
    """
    for directory, mode in _directories(paths, stage):
        yield _directory(directory, mode)
    if stage in SIGNING:
        yield from _key_pair(paths)
    yield _file(paths.policy, shipped("policy.yaml"))
    if paths.policy.exists():  # not in a dry run
        read_policy(paths.policy)
        read_run_policy(paths.policy)
    yield from _for_composing(paths, stage)
    if trust_key is not None:
        yield trust_public_key(paths.trusted_keys, trust_key)
    yield _file(paths.system_file, shipped("datacrumbs.yaml"))
    yield from temporary_files(paths)
    if stage in TRACING:
        yield from _seal_key_pair(paths)
        for name in RUN_UNITS:
            yield from unit(paths, name)
        yield from hooks(paths)
    if stage not in SIGNING and trust_key is None and not trusted_key_ids(paths.trusted_keys):
        yield Step(
            "missing",
            str(paths.trusted_keys),
            f"no key is trusted here: run datacrumbs_setup --stage {stage} --trust-key <the signing host's .pem>",
        )


# For users who have plans signed here, by this host or by another.
def _for_composing(paths: SystemPaths, stage: str) -> Iterator[Step]:
    if stage in SIGNING:
        yield from _trust_bundled(paths)
    if stage in (*SIGNING, *RELAYING):
        yield _file(paths.site_files / "default.yaml", _default_site())
    for stages, names in ((SIGNING, SIGNING_UNITS), (RELAYING, RELAY_UNITS)):
        for name in names if stage in stages else ():
            yield from unit(paths, name)


def uninstall(paths: SystemPaths) -> Iterator[Step]:
    """Remove what `install` made. Traces stay; so does what an administrator has added or changed.

    Of two installations for one host, the one whose commands the units start owns all of it.
    """
    if other := other_installation(paths):
        yield Step("kept", str(paths.configuration), f"{other}/datacrumbs_setup --uninstall removes what it set up")
        return
    yield from _uninstall_defaults(paths)
    doomed = [paths.trusted_snippets, paths.signing_socket, paths.runs_socket, *files_of_past_runs(paths.run)]
    doomed += written(paths)
    if paths.private_key.exists():
        doomed.append(paths.private_key)
    doomed += [
        path for path in (paths.next_private_key, paths.seal_key, paths.trusted_keys / FILE_NAME) if path.exists()
    ]
    trust = (paths.trusted_keys, paths.seal_keys)
    # All of them: trust that stays behind would be found again by the next installation.
    doomed += [each / f"{identity}.pem" for each in trust for identity in trusted_key_ids(each)]
    yield from (removed(path) for path in doomed if path.exists())
    if paths.state.is_dir():
        yield from (_removed_tree(path) for path in paths.state.iterdir() if path != paths.seals)
    kept = {paths.traces: "traces", paths.seals: "seals", paths.state: "seals"}
    made = [path for path, _ in reversed(_directories(paths, "all") + _seal_directories(paths))]
    for directory in dict.fromkeys((drop_in_directory(paths), *made)):
        if directory.is_dir():
            yield removed_if_empty(directory, kept.get(directory, "not empty"))


def _uninstall_defaults(paths: SystemPaths) -> Iterator[Step]:
    defaults = {
        paths.policy: shipped("policy.yaml"),
        paths.system_file: shipped("datacrumbs.yaml"),
        paths.site_files / "default.yaml": _default_site(),
    }
    for path, default in defaults.items():
        if path.exists():
            changed = path.read_bytes() != default
            yield Step("kept", str(path), "changed since it was made") if changed else removed(path)


def _directories(paths: SystemPaths, stage: str) -> list[tuple[Path, int]]:
    common = [(paths.configuration, 0o755), (paths.trusted_keys, 0o755), (paths.run, SEARCHED)]
    signing = [(paths.private_key.parent, 0o700)]
    composing = [(paths.site_files, 0o755)]
    tracing = [
        *((directory, 0o755) for directory in paths.hooks),
        (paths.runs, SEARCHED),
        (paths.jobs, SEARCHED),
        (paths.state, 0o700),
        (paths.traces, SEARCHED),
    ]
    wanted = ((signing, SIGNING), (composing, (*SIGNING, *RELAYING)), (tracing, TRACING))
    return common + [each for made, stages in wanted if stage in stages for each in made]


def _seal_directories(paths: SystemPaths) -> list[tuple[Path, int]]:
    return [(paths.seal_key.parent, 0o700), (paths.seal_keys, 0o755), (paths.state, 0o700), (paths.seals, 0o700)]


def _default_site() -> bytes:
    return files("datacrumbs").joinpath("configure/default.yaml").read_bytes()


def _directory(path: Path, mode: int) -> Step:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return Step("made", str(path), act=lambda: _make_directory(path, mode))
    except OSError as error:
        raise DatacrumbsError(f"{path}: cannot be created: {error.strerror}", hint="run this as root") from None
    if not stat.S_ISDIR(status.st_mode):
        raise DatacrumbsError(f"{path}: exists and is not a directory", hint="move it away")
    if stat.S_IMODE(status.st_mode) != mode:
        return Step("updated", str(path), f"mode {mode:04o}", act=lambda: _set_mode(path, mode))
    check_protected(path)
    return Step("kept", str(path))


def _make_directory(path: Path, mode: int) -> None:
    with by_root(path, "made"):
        path.mkdir(parents=True)
        path.chmod(mode)


def _set_mode(path: Path, mode: int) -> None:
    with by_root(path, "changed"):
        path.chmod(mode)
        check_protected(path)


def _file(path: Path, content: bytes, mode: int = 0o644) -> Step:
    if path.exists() or path.is_symlink():
        check_protected(path)
        return Step("kept", str(path))
    return Step("made", str(path), act=lambda: write_atomically(path, content, mode))


def _key_pair(paths: SystemPaths) -> Iterator[Step]:
    key, step = signing_key(paths.private_key)
    yield step
    yield trust_public_key(paths.trusted_keys, key.public_key(), new=step.state == "made")


# A key of the node's own, apart from those that sign probe files: root on one node must not sign for other nodes.
def _seal_key_pair(paths: SystemPaths) -> Iterator[Step]:
    if not read_system_configuration(paths).seal_traces:
        return
    for directory, mode in _seal_directories(paths):
        yield _directory(directory, mode)
    key, step = signing_key(paths.seal_key)
    yield step
    yield trust_public_key(paths.seal_keys, key.public_key(), new=step.state == "made")


def signing_key(path: Path) -> tuple[Ed25519PrivateKey, Step]:
    """The private key there, or a new one that the step writes.

    Raises:
        DatacrumbsError: When what is there cannot be relied on.
    """
    if path.exists() or path.is_symlink():
        return load_private_key(path), Step("kept", str(path))
    key = new_private_key()
    return key, Step("made", str(path), act=lambda: write_private_key(path, key))


def trust_public_key(directory: Path, key: Ed25519PublicKey, *, new: bool = False) -> Step:
    """Put a public key into a directory of trusted ones; of a ``new`` one a dry run does not know the id."""
    step = _file(directory / key_file_name(key), public_key_pem(key))
    return replace(step, planned=str(directory / "KEY-ID.pem")) if new else step


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
        yield Step("kept", str(paths.trusted_snippets), counted(len(known), "trusted snippet"))
        return
    note = counted(len(known | wanted), "trusted snippet")
    act = partial(write_trusted, paths.trusted_snippets, known | wanted)
    yield Step("made", str(paths.trusted_snippets), note, act=act)


# What daemons remember between runs; nothing in it is an administrator's.
def _removed_tree(directory: Path) -> Step:
    def act() -> None:
        with by_root(directory, "removed"):
            shutil.rmtree(directory) if directory.is_dir() else directory.unlink()

    return Step("removed", str(directory), act=act)

"""The summary of a run and its signed form: a DSSE envelope like a probe file's, as plain JSON."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from datacrumbs.errors import ExitCode, refusal, reworded
from datacrumbs.probefile.codec import canonical, parse_canonical
from datacrumbs.probefile.envelope import KEY_ID, enveloped, open_form, verify
from datacrumbs.probefile.keys import trusted_key, trusted_key_ids
from datacrumbs.probefile.schema import flag, items, mapping, problem, text, whole
from datacrumbs.secure.files import read_bounded

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from datacrumbs.probefile.schema import Place

PAYLOAD_TYPE = "application/vnd.datacrumbs.seal+json"
"""Another one than a probe file's, so that neither signature can be taken for the other."""
SIZE_LIMIT = 4 << 20
FORMAT = 1
PART_LIMIT = 10_000
_NUMBER_LIMIT = 1 << 63
_TEXTS = ("run_id", "user", "host", "kernel", "datacrumbs", "mode", "ended_by")
_DIGEST = re.compile(r"([0-9a-f]{64})?")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]*")
_COUNTER = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class SealedPart:
    """One file of the trace.

    Args:
        name: Its name when it was made, without directories.
        size: Bytes when the run had ended.
        sha256: Of all of them, in hex; empty when they could not be read in time.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What root knows of a run.

    Args:
        run_id: Id of the run.
        uid: Whose processes were traced.
        user: That user's name in the grant.
        host: The node.
        kernel: Release of its kernel.
        datacrumbs: Version of the daemon.
        plan: Digest of the plan.
        key_id: Key that had signed the plan.
        mode: How the run was ordered to record all calls; empty for what the plan says.
        begin: Nanoseconds since the epoch, when programs began to be traced.
        end: Nanoseconds since the epoch, when all probes were gone.
        ended_by: Why the run ended, as in the trace.
        complete: Whether the process that writes came to its end.
        counts: Counter -> number, of all functions together: the kernel's own, before anything was written.
        parts: The files of the trace, in order.
    """

    run_id: str
    uid: int
    user: str
    host: str
    kernel: str
    datacrumbs: str
    plan: str
    key_id: str
    mode: str = ""
    begin: int = 0
    end: int = 0
    ended_by: str = ""
    complete: bool = False
    counts: tuple[tuple[str, int], ...] = ()
    parts: tuple[SealedPart, ...] = ()


@dataclass(frozen=True, slots=True)
class Seal:
    """A summary whose signature was verified, and the key that signed it."""

    summary: Summary
    key_id: str


def sealed(summary: Summary, key: Ed25519PrivateKey) -> bytes:
    """The signed form. Same arguments, same bytes."""
    document = asdict(summary) | {"format": FORMAT, "counts": dict(summary.counts)}
    return enveloped(PAYLOAD_TYPE, canonical(document), key) + b"\n"


def read_seal(path: Path, keys: Path) -> Seal:
    """Read a seal and verify its signature, before anything of it is parsed.

    Args:
        path: The seal.
        keys: Directory of the public keys that are believed.

    Raises:
        DatacrumbsError: (exit 3) when it is no seal, was altered, or its key is not believed here.
    """
    data = read_bounded(path, SIZE_LIMIT)
    if not data:
        raise refusal(f"{path}: empty: its run is still going on, or did not finish")
    envelope = open_form(data.removesuffix(b"\n"), PAYLOAD_TYPE)
    if envelope is None:
        raise refusal(f"{path}: not a seal")
    if envelope.key_id not in trusted_key_ids(keys):
        raise refusal(
            f"{path}: sealed with key {envelope.key_id[:16]}, which is not trusted here",
            f"if the node is yours, copy {envelope.key_id}.pem from its /etc/datacrumbs/seal-keys into {keys}",
        )
    verify(envelope, trusted_key(keys, envelope.key_id, str(path)), str(path), "such a seal proves nothing")
    hint = "read it with the version that made it"
    with reworded(f"{path}: not understood: ", hint=hint, exit_code=ExitCode.REFUSED):
        return Seal(_summary(parse_canonical(envelope.payload, "seal")), envelope.key_id)


def _summary(document: object) -> Summary:
    value = mapping(document, "(top)", frozenset(field.name for field in fields(Summary)) | {"format"})
    whole(value["format"], "format", FORMAT, FORMAT)
    counts = value["counts"]
    if not isinstance(counts, dict):
        raise problem("counts", counts, "an object")
    texts = {key: text(value[key], key, _TEXT, 256, "text") for key in _TEXTS}
    digests = {key: text(value[key], key, KEY_ID, 64, "64 hexadecimal digits") for key in ("plan", "key_id")}
    numbers = {key: whole(value[key], key, 0, _NUMBER_LIMIT) for key in ("uid", "begin", "end")}
    return Summary(
        **texts,  # type: ignore[arg-type]
        **digests,  # type: ignore[arg-type]
        **numbers,  # type: ignore[arg-type]
        complete=flag(value["complete"], "complete"),
        counts=tuple(
            (text(key, "counts", _COUNTER, 64, "a counter"), whole(number, ("counts", key), 0, _NUMBER_LIMIT))
            for key, number in counts.items()
        ),
        parts=items(value["parts"], "parts", (1, PART_LIMIT), _part),
    )


def _part(document: object, at: Place) -> SealedPart:
    value = mapping(document, at, frozenset({"name", "size", "sha256"}))
    return SealedPart(
        name=text(value["name"], (at, "name"), _TEXT, 256, "a file's name"),
        size=whole(value["size"], (at, "size"), 0, _NUMBER_LIMIT),
        sha256=text(value["sha256"], (at, "sha256"), _DIGEST, 64, "64 hexadecimal digits or nothing"),
    )

"""The signed form of a plan: a DSSE envelope with an Ed25519 signature, gzip-compressed.

DSSE is the Dead Simple Signing Envelope of the Secure Systems Lab, protocol version 1.0.0.
The signature covers the payload's bytes, so they are verified before anything reads them.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import gzip
import hashlib
import json
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from datacrumbs.errors import RECREATE, DatacrumbsError, ExitCode, refusal, reworded
from datacrumbs.output import counted
from datacrumbs.probefile.codec import canonical, check_canonical, digest, encode, plan_from_document, read_json
from datacrumbs.probefile.schema import mapping, text, whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from datacrumbs.model.plan import Plan

PAYLOAD_TYPE = "application/vnd.datacrumbs.plan+json"
COMPRESSED_LIMIT = 16 << 20
EXPANDED_LIMIT = 64 << 20
TIME_LIMIT = 1 << 40
KEY_ID = re.compile(r"[0-9a-f]{64}")
# A name from the account database: nothing that a terminal or a log would act on.
ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@$+-]*")


@dataclass(frozen=True, slots=True)
class Grant:
    """What the signer allows.

    Args:
        uid: The user whose processes may be traced with the plan.
        user: That user's name, for people.
        signer: Host name of the signing service, for people.
        issued: Seconds since the epoch from which the grant holds.
        expires: Seconds since the epoch at which it ends.
    """

    uid: int
    user: str
    signer: str
    issued: int
    expires: int


@dataclass(frozen=True, slots=True)
class SignedPlan:
    """A plan and who vouches for it.

    Args:
        plan: The plan, checked.
        grant: For whom, by whom, when, until when.
        key_id: SHA-256 in hex of the signer's raw public key.
        digest: SHA-256 in hex of the plan's canonical bytes.
        verified: False only from `read_unverified`, where none of the above is more than a claim.
    """

    plan: Plan
    grant: Grant
    key_id: str
    digest: str
    verified: bool = True


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope taken apart, with nothing verified."""

    payload: bytes
    key_id: str
    signature: bytes
    payload_type: str = PAYLOAD_TYPE


_GRANT_LIMIT = 4096  # bytes
# The one form that `enveloped` writes. It is taken apart as text: the memory that a JSON parser takes for what is not
# verified yet is the writer's choice.
_FORM = (
    rb'\{"payload":"(?P<payload>[^"]*)","payloadType":"%b",'
    rb'"signatures":\[\{"keyid":"(?P<key>[0-9a-f]{64})","sig":"(?P<signature>[^"]{88})"\}\]\}'
)


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """DSSE's PAE: ``"DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload``, lengths decimal."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(public: Ed25519PublicKey) -> str:
    """SHA-256 in hex of the raw public key; people are shown its first 16 characters."""
    return hashlib.sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def seal(plan_bytes: bytes, grant: Grant, key: Ed25519PrivateKey) -> bytes:
    """Sign a plan and give the bytes of the probe file. Same arguments, same bytes.

    Args:
        plan_bytes: Canonical bytes of a plan that the signer has checked.
        grant: What is allowed.
        key: The signing key.

    Raises:
        DatacrumbsError: (exit 3) when the file would be larger than readers take.
    """
    expanded = enveloped(PAYLOAD_TYPE, payload_of(grant, plan_bytes), key)
    compressed = gzip.compress(expanded, 6, mtime=0)
    if len(expanded) > EXPANDED_LIMIT or len(compressed) > COMPRESSED_LIMIT:
        raise refusal("the plan is too large for a probe file", "select fewer functions")
    return compressed


def enveloped(payload_type: str, payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """Sign a payload; gives the envelope as canonical JSON. Same arguments, same bytes."""
    signature = key.sign(pre_authentication_encoding(payload_type, payload))
    return canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": [{"keyid": key_id(key.public_key()), "sig": base64.b64encode(signature).decode()}],
        }
    )


def open_form(data: bytes, payload_type: str) -> Envelope | None:
    """Take apart what `enveloped` gives for this type, without verifying anything; None for anything else."""
    parts = re.fullmatch(_FORM % re.escape(payload_type.encode()), memoryview(data))
    if parts is None:
        return None
    try:
        payload = binascii.a2b_base64(parts["payload"], strict_mode=True)
        signature = binascii.a2b_base64(parts["signature"], strict_mode=True)
    except ValueError:
        return None
    return Envelope(payload, bytes(parts["key"]).decode("ascii"), signature, payload_type)


def open_envelope(data: bytes, name: str) -> Envelope:
    """Take a probe file apart, within the limits, without verifying anything.

    Raises:
        DatacrumbsError: (exit 3) for what is truncated, not gzip, or not an envelope.
    """
    envelope = open_form(expand(data, name), PAYLOAD_TYPE)
    if envelope is None:
        raise refusal(
            f"{name}: not a probe file: its form is not that of a signed plan",
            RECREATE,
        )
    return envelope


def verify(
    envelope: Envelope,
    key: Ed25519PublicKey,
    name: str,
    hint: str = RECREATE,
) -> None:
    """Check the signature.

    Raises:
        DatacrumbsError: (exit 3) when the file was altered or signed with another key.
    """
    try:
        key.verify(envelope.signature, pre_authentication_encoding(envelope.payload_type, envelope.payload))
    except InvalidSignature:
        raise refusal(
            f"{name}: the signature does not match: the file was altered, or "
            f"key {envelope.key_id[:16]} did not sign it",
            hint,
        ) from None


def read_payload(envelope: Envelope, name: str, *, verified: bool = True) -> SignedPlan:
    """Parse the payload of an envelope that was verified before.

    Raises:
        DatacrumbsError: (exit 3) when this version does not understand it.
    """
    with reworded(f"{name}: not understood: ", hint=RECREATE, exit_code=ExitCode.REFUSED):
        value = mapping(read_json(envelope.payload, "payload"), "(top)", frozenset({"grant", "plan"}))
        grant = _grant(value["grant"])
        plan = plan_from_document(value["plan"])
        plan_bytes = encode(plan)
        check_canonical(payload_of(grant, plan_bytes), envelope.payload, "payload")
    return SignedPlan(plan, grant, envelope.key_id, digest(plan_bytes), verified)


def read_grant(envelope: Envelope, name: str) -> Grant:
    """The grant of an envelope alone, for people: nothing is verified, and the plan behind it is not read.

    Raises:
        DatacrumbsError: (exit 3) when this version does not understand it.
    """
    head = envelope.payload[len(b'{"grant":') : _GRANT_LIMIT].decode("utf-8", "replace")
    try:
        return _grant(json.JSONDecoder().raw_decode(head)[0])
    except (ValueError, RecursionError, DatacrumbsError) as error:
        raise refusal(f"{name}: not understood: {error}", RECREATE) from None


def expand(data: bytes, name: str) -> bytes:
    """Decompress one gzip member, and no more than `EXPANDED_LIMIT` of it.

    Raises:
        DatacrumbsError: (exit 3).
    """
    decompressor = zlib.decompressobj(wbits=31)
    try:
        expanded = decompressor.decompress(data, EXPANDED_LIMIT + 1)
    except zlib.error:
        raise refusal(f"{name}: not a probe file: damaged or not gzip", f"copy it again, or {RECREATE}") from None
    if len(expanded) > EXPANDED_LIMIT:
        raise refusal(f"{name}: expands to more than {EXPANDED_LIMIT} bytes")
    if not decompressor.eof:
        raise refusal(f"{name}: cut short: the gzip stream does not end", f"copy it again, or {RECREATE}")
    if decompressor.unused_data:
        rest = counted(len(decompressor.unused_data), "byte follows", "bytes follow")
        raise refusal(f"{name}: not a probe file: {rest} the gzip stream")
    return expanded


def payload_of(grant: Grant, plan_bytes: bytes) -> bytes:
    """What is signed: a grant and the canonical bytes of a plan."""
    # Canonical, since "grant" sorts before "plan" and both parts are canonical.
    return b'{"grant":%b,"plan":%b}' % (canonical(dataclasses.asdict(grant)), plan_bytes)


def _grant(document: object) -> Grant:
    value = mapping(document, "grant", frozenset(field.name for field in dataclasses.fields(Grant)))
    return Grant(
        uid=whole(value["uid"], "grant.uid", 0, (1 << 32) - 2),
        user=text(value["user"], "grant.user", ACCOUNT, 256, "a user's name"),
        signer=text(value["signer"], "grant.signer", ACCOUNT, 256, "a host's name"),
        issued=whole(value["issued"], "grant.issued", 0, TIME_LIMIT),
        expires=whole(value["expires"], "grant.expires", 0, TIME_LIMIT),
    )

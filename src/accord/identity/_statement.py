# SPDX-License-Identifier: Apache-2.0
"""Signed statements: a typed payload in canonical JSON inside a DSSE envelope."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from accord.encoding import (
    Digest,
    Envelope,
    EnvelopeSignature,
    Fields,
    JSONValue,
    canonical_json,
    parse_canonical_json,
    pre_authentication_encoding,
    sha256,
)
from accord.errors import SignatureInvalidError, UnsupportedFormatError
from accord.identity._keys import VerifyKey
from accord.identity._signer import Signer

_PREFIX, _SUFFIX = "application/vnd.accord.", ".v1+json"
_IN_TOTO = "application/vnd.in-toto+json"


def payload_type(kind: str) -> str:
    """The media type of a statement, for instance ``application/vnd.accord.ballot.v1+json``.

    Run statements carry in-toto's own type, so that in-toto tools read them.
    """
    return _IN_TOTO if kind == "run" else f"{_PREFIX}{kind}{_SUFFIX}"


def statement_kind(envelope: Envelope) -> str:
    """What ``envelope`` claims to be; nothing is verified. Raises ``UnsupportedFormatError``."""
    media_type = envelope.payload_type
    if media_type == _IN_TOTO:
        return "run"
    if not (media_type.startswith(_PREFIX) and media_type.endswith(_SUFFIX)):
        raise UnsupportedFormatError(
            what="statement", found=repr(media_type), expected="an accord statement"
        )
    return media_type.removeprefix(_PREFIX).removesuffix(_SUFFIX)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement whose every signature was verified; ``signers`` are the key ids."""

    kind: str
    body: JSONValue
    signers: frozenset[Digest]
    envelope: Envelope
    digest: Digest
    """What identifies it, whoever signed it: `Envelope.statement_digest`."""

    def fields(self) -> Fields:
        """A strict reader over the body."""
        return Fields(self.body, self.kind)


def sign_statement(kind: str, body: JSONValue, signers: Iterable[Signer]) -> Envelope:
    """``body`` signed by each of ``signers``."""
    media_type, payload = payload_type(kind), canonical_json(body)
    message = pre_authentication_encoding(media_type, payload)
    return Envelope(
        media_type,
        payload,
        tuple(EnvelopeSignature(item.key_id, item.sign(message)) for item in signers),
    )


def verify_statement(envelope: Envelope, kind: str, keys: Mapping[Digest, VerifyKey]) -> Statement:
    """The statement in ``envelope``, if it is of ``kind`` and *all* its signatures verify.

    ``keys`` are the keys that may sign, by key id; a signature by any other key is refused
    rather than skipped. Whether the signers were entitled to say it is *not* checked.

    Raises ``UnsupportedFormatError``, ``SignatureInvalidError``, or what parsing raises.
    """
    # (1) The type is signed, and is the one asked for.
    expected = payload_type(kind)
    if envelope.payload_type != expected:
        raise UnsupportedFormatError(
            what="statement", found=repr(envelope.payload_type), expected=expected
        )
    # (2) Every signature is by a key that may sign, over type and payload.
    message = pre_authentication_encoding(envelope.payload_type, envelope.payload)
    for item in envelope.signatures:
        key = keys.get(item.key_id)
        if key is None:
            raise SignatureInvalidError(what=kind, expected="a key that may sign it")
        key.verify(item.signature, message, what=kind)
    # (3) Only then is the payload parsed, and it has one spelling.
    body = parse_canonical_json(envelope.payload, what=kind)
    signers = frozenset(item.key_id for item in envelope.signatures)
    return Statement(kind, body, signers, envelope, sha256(message))

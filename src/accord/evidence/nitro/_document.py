# SPDX-License-Identifier: Apache-2.0
"""AWS Nitro attestation documents: bytes to fields, nothing verified.

Layout: "Nitro Enclaves Attestation Process", 2.2 and 3.2.2 (aws-nitro-enclaves-nsm-api).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Container, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from accord.encoding import CBORValue
from accord.errors import EvidenceMalformedError
from accord.evidence._cbor import read_cbor
from accord.evidence._cose import SIGN1, Sign1, parse_sign1

MAX_PCRS = 32
MAX_BUNDLE = 8
"""Most certificates of a bundle: twice as many as AWS sends."""

_WHAT = "Nitro attestation document"
_TAGS = frozenset({SIGN1, None})
_DIGEST = "SHA384"
_REGISTER_BYTES = frozenset({32, 48, 64})
_CERTIFICATE_BYTES = range(1, 1025)
_PUBLIC_KEY_BYTES = range(1, 1025)
_USER_BYTES = range(513)
_FIRST_BYTES = frozenset({0x84, 0xD2, 0xD8})
"""How a document starts: an array of four, tag 18, tag 61. In base64 these are no letters."""


@dataclass(frozen=True, slots=True)
class AttestationDocument:
    """What the hypervisor says of an enclave (2.2).

    ``timestamp`` is in milliseconds since 1970. ``certificates`` starts with the root and ends
    with the issuer of ``certificate``. ``public_key``, ``user_data`` and ``nonce`` are what the
    enclave asked to have signed.
    """

    module_id: str
    timestamp: int
    pcrs: Mapping[int, bytes]
    certificate: bytes
    certificates: tuple[bytes, ...]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A document and the message that carries it."""

    message: Sign1
    document: AttestationDocument


def decode_document(data: bytes) -> bytes:
    """The document in ``data``, which may be written in base64, as tools print it.

    Raises ``EvidenceMalformedError``.
    """
    if data[:1] and data[0] in _FIRST_BYTES:
        return data
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error as exc:
        raise EvidenceMalformedError(what=_WHAT, detail="neither CBOR nor base64") from exc


def parse_document(data: bytes) -> SignedDocument:
    """Takes a document apart. Raises ``EvidenceMalformedError``."""
    message = parse_sign1(data, what=_WHAT, tags=_TAGS)
    fields = read_cbor(message.payload, what=_WHAT)
    if not isinstance(fields, Mapping):
        raise _malformed("it is not a map")
    left = {name: value for name, value in fields.items() if value is not None}
    document = AttestationDocument(
        module_id=_text(left.pop("module_id", None), "module_id"),
        timestamp=_timestamp(left.pop("timestamp", None)),
        pcrs=_registers(left.pop("pcrs", None)),
        certificate=_octets(left.pop("certificate", None), "certificate", _CERTIFICATE_BYTES),
        certificates=_bundle(left.pop("cabundle", None)),
        # Documents have null where the specification has nothing at all.
        public_key=_optional(left.pop("public_key", None), "public_key", _PUBLIC_KEY_BYTES),
        user_data=_optional(left.pop("user_data", None), "user_data", _USER_BYTES),
        nonce=_optional(left.pop("nonce", None), "nonce", _USER_BYTES),
    )
    if left.pop("digest", None) != _DIGEST:
        raise _malformed(f"its digest is not {_DIGEST}")
    if left:
        raise _malformed(f"it has unknown fields: {', '.join(sorted(map(repr, left)))}")
    return SignedDocument(message, document)


def _malformed(detail: str) -> EvidenceMalformedError:
    return EvidenceMalformedError(what=_WHAT, detail=detail)


def _text(value: CBORValue, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise _malformed(f"{name} is not a text")
    return value


def _timestamp(value: CBORValue) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise _malformed("timestamp is not a positive number")
    return value


def _octets(value: CBORValue, name: str, sizes: Container[int]) -> bytes:
    if not isinstance(value, bytes) or len(value) not in sizes:
        raise _malformed(f"{name} is not a byte string of a possible size")
    return value


def _optional(value: CBORValue, name: str, sizes: Container[int]) -> bytes | None:
    return None if value is None else _octets(value, name, sizes)


def _registers(value: CBORValue) -> Mapping[int, bytes]:
    if not isinstance(value, Mapping) or not 1 <= len(value) <= MAX_PCRS:
        raise _malformed(f"pcrs is not a map of 1 to {MAX_PCRS} registers")
    found = {}
    for index, register in value.items():
        if not isinstance(index, int) or not 0 <= index < MAX_PCRS:
            raise _malformed(f"{index!r} is no register")
        found[index] = _octets(register, f"pcr{index}", _REGISTER_BYTES)
    return MappingProxyType(found)


def _bundle(value: CBORValue) -> tuple[bytes, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_BUNDLE:
        raise _malformed(f"cabundle is not a list of 1 to {MAX_BUNDLE} certificates")
    return tuple(_octets(item, "cabundle", _CERTIFICATE_BYTES) for item in value)

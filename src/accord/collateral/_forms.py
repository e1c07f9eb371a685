# SPDX-License-Identifier: Apache-2.0
"""Tells vendors' files apart by what is in them: their names and suffixes say nothing."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote_to_bytes

from accord.encoding import base64_decode, parse_json
from accord.errors import CollateralUnknownError, EncodingError, EvidenceError
from accord.evidence import Certificate, load_certificates
from accord.evidence.arm import read_trust_anchors

MAX_FILE_BYTES = 16 << 20
"""Largest file: as much as an attachment of evidence."""

_JSON_BYTES = 4 << 20
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_CERTIFICATE, _REVOCATIONS, _KEY = b"CERTIFICATE", b"X509 CRL", b"PUBLIC KEY"
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2})+")
_SEQUENCE, _INTEGER, _VERSION, _OID = 0x30, 0x02, 0xA0, 0x06
_LONG_FORM = 0x80


class Form(StrEnum):
    """What a file turned out to be."""

    BUNDLE = "dcap-qvl collateral"
    TCB_INFO = "Intel TCB info"
    QE_IDENTITY = "Intel QE identity"
    CERTIFICATES = "certificates"
    REVOCATIONS = "revocation list"
    MANIFEST = "reference manifest"
    KEY = "public key"
    SIGNERS = "certificates of signers"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing found in a file, in its binary form where it has one; nothing is verified."""

    form: Form
    data: bytes
    what: str
    certificates: tuple[Certificate, ...] = ()


def recognise(data: bytes, *, what: str) -> tuple[Item, ...]:
    """Everything in a vendor's file.

    Raises ``CollateralUnknownError``, or what the reader of its form raises.
    """
    if not data or len(data) > MAX_FILE_BYTES:
        raise CollateralUnknownError(what=what, detail="it is empty or larger than 16 MiB")
    if data.startswith(b"-----BEGIN%20"):  # as Intel's response headers carry it
        data = unquote_to_bytes(data)
    start = data[:4096].lstrip()
    if start[:1] in {b"{", b"["}:
        return tuple(_json(data, what))
    if _PEM.search(data) and start.isascii():
        return tuple(_pem(data, what))
    if start[:1] == b"<" and b"SoftwareIdentity" in start:
        return (Item(Form.MANIFEST, data, what),)
    if data[0] == _SEQUENCE:
        return (_der(data, what),)
    decoded = _text(data)
    if decoded is None or decoded[:1] not in {b"\x30", b"-", b"<"}:
        raise CollateralUnknownError(what=what, detail="neither PEM, DER, JSON nor XML")
    return recognise(decoded, what=what)


def _text(data: bytes) -> bytes | None:
    """What ``data`` spells in hex or base64."""
    packed = b"".join(data.split())
    if _HEX.fullmatch(packed):
        return bytes.fromhex(packed.decode())
    try:
        return base64.b64decode(packed, validate=True)
    except binascii.Error:
        return None


def _pem(data: bytes, what: str) -> Iterator[Item]:
    """Certificates are one item together, in the order of the file; others are one each."""
    blocks = [(match[1], match[0]) for match in _PEM.finditer(data)]
    certificates = b"\n".join(block for kind, block in blocks if kind == _CERTIFICATE)
    if certificates:
        yield _certificates(certificates, what)
    for kind, block in blocks:
        body = b"".join(block.splitlines()[1:-1])
        if kind in {_REVOCATIONS, _KEY}:
            form = Form.REVOCATIONS if kind == _REVOCATIONS else Form.KEY
            yield Item(form, _text(body) or b"", what)
        elif kind != _CERTIFICATE:
            raise CollateralUnknownError(what=what, detail=f"PEM of a {kind.decode().lower()}")


def _certificates(data: bytes, what: str) -> Item:
    return Item(Form.CERTIFICATES, data, what, load_certificates(data, what=what))


def _der(data: bytes, what: str) -> Item:
    """X.509: what comes first in the first member tells certificate, list and key apart."""
    inner = _value(_value(data))
    if inner[:1] == bytes([_OID]):
        return Item(Form.KEY, data, what)
    # RFC 5280, 5.1: a list's version is a plain integer, followed by a sequence.
    if inner[:1] == bytes([_INTEGER]) and inner[3:4] == bytes([_SEQUENCE]):
        return Item(Form.REVOCATIONS, data, what)
    if inner[:1] != bytes([_VERSION]):
        raise CollateralUnknownError(what=what, detail="DER, but no certificate, list or key")
    return _certificates(data, what)


def _value(data: bytes) -> bytes:
    """What follows tag and length; not strict, since only the reader of the form decides."""
    if len(data) > 1 and data[1] & _LONG_FORM:
        return data[2 + (data[1] & ~_LONG_FORM) :]
    return data[2:]


def _json(data: bytes, what: str) -> Iterator[Item]:
    try:
        value = parse_json(data, what=what, limit=_JSON_BYTES)
    except EncodingError as exc:
        raise CollateralUnknownError(what=what, detail=str(exc)) from exc
    match value:
        case {"tcb_info": _, "qe_identity": _}:
            yield Item(Form.BUNDLE, data, what)
        case {"tcbInfo": dict(), "signature": str()}:
            yield Item(Form.TCB_INFO, data, what)
        case {"enclaveIdentity": dict(), "signature": str()}:
            yield Item(Form.QE_IDENTITY, data, what)
        case {"id": str(), "rim": str() as manifest}:  # NVIDIA's RIM service
            yield Item(Form.MANIFEST, base64_decode(manifest, what=what), what)
        case _:
            yield _keys(data, what)


def _keys(data: bytes, what: str) -> Item:
    """Keys in JWK form, alone or as lists of trust anchors have them: the file as it is.

    Raises ``CollateralUnknownError``, or what the reader of keys raises.
    """
    try:
        read_trust_anchors(data, what=what)
    except (EvidenceError, EncodingError) as exc:
        if b'"kty"' in data:  # a key that is none is bad, not the wrong file
            raise
        raise CollateralUnknownError(what=what, detail=f"JSON that is not known ({exc})") from exc
    return Item(Form.KEY, data, what)

# SPDX-License-Identifier: Apache-2.0
"""X.509 certificates of TEE vendors (RFC 5280), read by our own strict DER reader.

Vendors issue what general libraries refuse or will refuse: AMD's chip certificates have serial
number 0. Only keys and signatures are left to the library. What never changes for given bytes
is cached by those bytes; what depends on the moment or on who is trusted is checked at every
call.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from accord.encoding import Digest, sha256
from accord.errors import EvidenceMalformedError
from accord.evidence._der import (
    BIT_STRING,
    BOOLEAN,
    GENERALIZED_TIME,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    UTC_TIME,
    Element,
    dotted,
    elements,
    sequence,
)
from accord.evidence._signature import PublicKey

MAX_CERTIFICATE_BYTES = 16 << 10

MAX_CERTIFICATES = 32
"""Most in one file: vendors' chains have up to six, and some files repeat them."""

_CACHE = 256
_MAX_FIELDS = 10
_VERSION_3 = bytes.fromhex("a003020102")
_EXTENSIONS = 0xA3
_ISSUER_UNIQUE_ID, _SUBJECT_UNIQUE_ID = 0x81, 0x82
_COMMON_NAME = "2.5.4.3"
_BASIC_CONSTRAINTS, _KEY_USAGE = "2.5.29.19", "2.5.29.15"
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----[ \t]*\r?\n([^-]+)-----END CERTIFICATE-----")
_DIGITAL_SIGNATURE, _KEY_CERT_SIGN, _CRL_SIGN = 0, 5, 6
_CENTURY_PIVOT = 50


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """A certificate taken apart, equal to itself alone; no signature is verified.

    ``what`` is its common name, for errors: it says which role the vendor gave it, and only
    counts below a pinned root. ``extensions`` maps dotted OIDs to values. Without a key usage
    extension every use is allowed (RFC 5280, 4.2.1.3).
    """

    what: str
    digest: Digest
    der: bytes
    subject: bytes
    issuer: bytes
    serial: int
    key: PublicKey
    spki: bytes
    not_before: datetime
    not_after: datetime
    is_ca: bool
    path_length: int | None
    signs_certificates: bool
    signs_lists: bool
    signs_data: bool
    extensions: Mapping[str, bytes]
    critical: frozenset[str]
    tbs: bytes
    algorithm: bytes
    signature: bytes


def split_pem(pem: bytes, *, what: str, most: int = MAX_CERTIFICATES) -> list[bytes]:
    """The DER of every certificate in a PEM file, in order; text between blocks is ignored.

    More than ``most`` are refused before any of them is parsed.

    Vendors write line ends, line lengths and headings as they like (RFC 7468, 2), so PEM is
    never an identity. Raises ``EvidenceMalformedError``, also where there is none.
    """
    ders: list[bytes] = []
    for block in _PEM.finditer(pem):
        if len(ders) == most:
            raise EvidenceMalformedError(what=what, detail=f"more than {most} certificates")
        try:
            ders.append(base64.b64decode(block[1].translate(None, b" \t\r\n"), validate=True))
        except binascii.Error as exc:
            raise EvidenceMalformedError(what=what, detail="PEM without base64") from exc
    if not ders:
        raise EvidenceMalformedError(what=what, detail="no certificate in PEM form")
    return ders


def load_certificates(
    data: bytes, *, what: str, most: int = MAX_CERTIFICATES
) -> tuple[Certificate, ...]:
    """The certificates in ``data``: one in DER, or up to ``most`` in PEM.

    Raises ``EvidenceMalformedError``.
    """
    ders = split_pem(data, what=what, most=most) if b"-----BEGIN" in data[:4096] else [data]
    return tuple(parse_certificate(der, what=what) for der in ders)


@lru_cache(maxsize=_CACHE)
def parse_certificate(der: bytes, *, what: str) -> Certificate:
    """One X.509 v3 certificate; its signature is *not* verified.

    ``what`` names it in errors. Raises ``EvidenceMalformedError``.
    """
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise EvidenceMalformedError(what=what, detail=f"larger than {MAX_CERTIFICATE_BYTES} bytes")
    tbs, algorithm, signature = signed_parts(der, what)
    fields = elements(tbs.value, what=what, most=_MAX_FIELDS)
    tags = [item.tag for item in fields]
    # RFC 5280, 4.1: version, serial number, signature, issuer, validity, subject, key, extensions.
    if tags[1:7] != [INTEGER, *[SEQUENCE] * 5] or fields[0].raw != _VERSION_3:
        raise EvidenceMalformedError(what=what, detail="not an X.509 v3 certificate")
    rest = [item for item in fields[7:] if item.tag not in {_ISSUER_UNIQUE_ID, _SUBJECT_UNIQUE_ID}]
    if len(rest) > 1 or any(item.tag != _EXTENSIONS for item in rest):
        raise EvidenceMalformedError(what=what, detail="unknown fields")
    # The algorithm is written twice, and only once signed (RFC 5280, 4.1.1.2).
    if fields[2].raw != algorithm.raw:
        raise EvidenceMalformedError(what=what, detail="its two signature algorithms differ")
    extensions, critical = _extensions(rest[0].value if rest else None, what)
    is_ca, path_length = _basic_constraints(extensions.get(_BASIC_CONSTRAINTS), what)
    usage = _key_usage(extensions.get(_KEY_USAGE), what)
    not_before, not_after = _validity(fields[4], what)
    return Certificate(
        what=common_name(fields[5].raw, what),
        digest=sha256(der),
        der=der,
        subject=fields[5].raw,
        issuer=fields[3].raw,
        serial=int.from_bytes(fields[1].value, "big", signed=True),
        key=load_key(fields[6].raw, what=what),
        spki=fields[6].raw,
        not_before=not_before,
        not_after=not_after,
        is_ca=is_ca,
        path_length=path_length,
        signs_certificates=_KEY_CERT_SIGN in usage,
        signs_lists=_CRL_SIGN in usage,
        signs_data=_DIGITAL_SIGNATURE in usage,
        extensions=extensions,
        critical=critical,
        tbs=tbs.raw,
        algorithm=algorithm.raw,
        signature=signature,
    )


def load_key(spki: bytes, *, what: str) -> PublicKey:
    """An EC or RSA public key. Raises ``EvidenceMalformedError``."""
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise EvidenceMalformedError(what=what, detail="its key cannot be read") from exc
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise EvidenceMalformedError(what=what, detail="its key is neither EC nor RSA")
    return key


def signed_parts(der: bytes, what: str) -> tuple[Element, Element, bytes]:
    """What is signed, by which algorithm, and the signature: of certificates and lists."""
    outer = sequence(der, what=what, most=3)
    if [item.tag for item in outer] != [SEQUENCE, SEQUENCE, BIT_STRING] or (
        outer[2].value[:1] != b"\0"
    ):
        raise EvidenceMalformedError(what=what, detail="not a signed X.509 object")
    return outer[0], outer[1], outer[2].value[1:]


def common_name(name: bytes, what: str) -> str:
    """The last common name in a distinguished name, as text to show; empty where it has none."""
    found = ""
    for relative in sequence(name, what=what):
        if relative.tag != SET:
            raise EvidenceMalformedError(what=what, detail="a name is malformed")
        for attribute in elements(relative.value, what=what):
            pair = sequence(attribute.raw, what=what)
            if len(pair) != 2 or pair[0].tag != OBJECT_IDENTIFIER:  # noqa: PLR2004 - a pair
                raise EvidenceMalformedError(what=what, detail="a name is malformed")
            if dotted(pair[0].value) == _COMMON_NAME:
                found = pair[1].value.decode("utf-8", "replace")
    return found


def _validity(field: Element, what: str) -> tuple[datetime, datetime]:
    times = elements(field.value, what=what)
    if len(times) != 2:  # noqa: PLR2004 - from and until
        raise EvidenceMalformedError(what=what, detail="its validity is malformed")
    return read_time(times[0], what), read_time(times[1], what)


def read_time(item: Element, what: str) -> datetime:
    """UTCTime or GeneralizedTime with seconds, in Zulu (RFC 5280, 4.1.2.5)."""
    text = item.value.decode("ascii", "replace")
    if item.tag == UTC_TIME and re.fullmatch(r"[0-9]{12}Z", text):
        text = ("19" if int(text[:2]) >= _CENTURY_PIVOT else "20") + text
    elif item.tag != GENERALIZED_TIME or not re.fullmatch(r"[0-9]{14}Z", text):
        raise EvidenceMalformedError(what=what, detail="a time is malformed")
    try:
        # Not strptime, which takes a tenth of a certificate's time.
        month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(4, 14, 2))
        return datetime(int(text[:4]), month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as exc:
        raise EvidenceMalformedError(what=what, detail="a time is malformed") from exc


def _extensions(value: bytes | None, what: str) -> tuple[Mapping[str, bytes], frozenset[str]]:
    """Values by dotted OID, and which are critical. None may appear twice (RFC 5280, 4.2)."""
    found: dict[str, bytes] = {}
    critical = set()
    for extension in [] if value is None else sequence(value, what=what):
        parts = sequence(extension.raw, what=what)
        tags = [item.tag for item in parts]
        if tags not in (
            [OBJECT_IDENTIFIER, OCTET_STRING],
            [OBJECT_IDENTIFIER, BOOLEAN, OCTET_STRING],
        ):
            raise EvidenceMalformedError(what=what, detail="an extension is malformed")
        oid = dotted(parts[0].value)
        if oid in found:
            raise EvidenceMalformedError(what=what, detail=f"extension {oid} appears twice")
        found[oid] = parts[-1].value
        if len(parts) > 2 and parts[1].value != b"\0":  # noqa: PLR2004 - with the flag
            critical.add(oid)
    return MappingProxyType(found), frozenset(critical)


def _basic_constraints(value: bytes | None, what: str) -> tuple[bool, int | None]:
    """Whether it is a CA, and above how many others it may stand."""
    if value is None:
        return False, None
    parts = sequence(value, what=what)
    flags = [item for item in parts if item.tag == BOOLEAN]
    lengths = [item for item in parts if item.tag == INTEGER]
    if len(flags) > 1 or len(lengths) > 1 or len(flags) + len(lengths) != len(parts):
        raise EvidenceMalformedError(what=what, detail="its basic constraints are malformed")
    length = int.from_bytes(lengths[0].value, "big", signed=True) if lengths else None
    if length is not None and length < 0:
        raise EvidenceMalformedError(what=what, detail="its path length is negative")
    return bool(flags) and flags[0].value != b"\0", length


def _key_usage(value: bytes | None, what: str) -> frozenset[int]:
    """The numbers of the bits that are set; all of them where there is no such extension."""
    if value is None:
        return frozenset({_DIGITAL_SIGNATURE, _KEY_CERT_SIGN, _CRL_SIGN})
    parts = elements(value, what=what)
    if len(parts) != 1 or parts[0].tag != BIT_STRING or not parts[0].value:
        raise EvidenceMalformedError(what=what, detail="its key usage is malformed")
    bits = parts[0].value[1:]
    return frozenset(
        index for index in range(8 * len(bits)) if bits[index // 8] & 0x80 >> index % 8
    )

# SPDX-License-Identifier: Apache-2.0
"""AMD's certificates and revocation lists under a root of our own, byte for byte as AMD's.

Written as DER directly: AMD gives every chip's certificate serial number 0, which general
libraries do not write. Common names are the ones that verifiers expect; the organisation says
what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accord.evidence.amd import Product, spl_numbers

RSA_BITS = 4096
_AUTHORITY_VALIDITY = timedelta(days=25 * 365)
_VCEK_VALIDITY = timedelta(days=7 * 365)
_VLEK_VALIDITY = timedelta(days=365)
_LIST_VALIDITY = timedelta(days=365)

_ORGANISATION = "Accord simulation (not hardware)"
_SERIALS = {"ark": 0x10000, "ask": 0x10001, "asvk": 0x10101}
_ARC = bytes.fromhex("2b060104019c7801")  # 1.3.6.1.4.1.3704.1
_PSS_SHA384 = bytes.fromhex(
    "304606092a864886f70d01010a3039a00f300d06096086480165030402020500a11c301a06092a864886f70d010108"
    "300d06096086480165030402020500a203020130a303020101"
)
_CA_USAGE = {"ark": 0b0000_0110, "ask": 0b0000_0100, "asvk": 0b0000_0100}  # cRLSign, keyCertSign
_UTC_TIME_UNTIL = 2050

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def der(tag: int, *parts: bytes) -> bytes:
    """One element (X.690): tag, length, and the parts after each other."""
    value = b"".join(parts)
    size = len(value)
    octets = b"" if size < 0x80 else size.to_bytes((size.bit_length() + 7) // 8, "big")  # noqa: PLR2004
    return bytes((tag, 0x80 | len(octets) if octets else size)) + octets + value


def integer(value: int) -> bytes:
    """A non-negative INTEGER."""
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _name(common_name: str) -> bytes:
    """In AMD's order: unit, country, city, state, organisation, common name."""
    pairs = (
        (11, 0x0C, "Engineering"),
        (6, 0x13, "US"),
        (7, 0x0C, "Santa Clara"),
        (8, 0x0C, "CA"),
        (10, 0x0C, _ORGANISATION),
        (3, 0x0C, common_name),
    )
    return der(
        0x30,
        *(
            der(0x31, der(0x30, der(0x06, bytes((0x55, 4, kind))), der(tag, text.encode())))
            for kind, tag, text in pairs
        ),
    )


def _time(at: datetime) -> bytes:
    if at.year < _UTC_TIME_UNTIL:
        return der(0x17, f"{at:%y%m%d%H%M%SZ}".encode())
    return der(0x18, f"{at:%Y%m%d%H%M%SZ}".encode())


def _spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _sign(tbs: bytes, signer: rsa.RSAPrivateKey) -> bytes:
    """A signed object of RFC 5280: what is signed, the algorithm, RSA-PSS with SHA-384."""
    signature = signer.sign(tbs, padding.PSS(padding.MGF1(SHA384()), 48), SHA384())
    return der(0x30, tbs, _PSS_SHA384, der(0x03, b"\0", signature))


def _extension(oid: bytes, value: bytes, *, critical: bool = False) -> bytes:
    return der(0x30, der(0x06, oid), b"\x01\x01\xff" if critical else b"", der(0x04, value))


@dataclass(frozen=True, slots=True)
class _Content:
    """What one certificate says."""

    serial: int
    issuer: str
    subject: str
    not_before: datetime
    not_after: datetime
    extensions: bytes


def _certificate(content: _Content, key: PrivateKey, signer: rsa.RSAPrivateKey) -> bytes:
    tbs = der(
        0x30,
        bytes.fromhex("a003020102"),
        integer(content.serial),
        _PSS_SHA384,
        _name(content.issuer),
        der(0x30, _time(content.not_before), _time(content.not_after)),
        _name(content.subject),
        _spki(key),
        der(0xA3, der(0x30, content.extensions)),
    )
    return _sign(tbs, signer)


def issue_authorities(
    product: Product, keys: Mapping[str, rsa.RSAPrivateKey], *, now: datetime
) -> dict[str, bytes]:
    """ARK, ASK and ASVK of ``product``, in DER by these names."""
    subjects = {
        "ark": f"ARK-{product}",
        "ask": f"SEV-{product}",
        "asvk": f"SEV-VLEK-{product}",
    }
    issued = {}
    for role, subject in subjects.items():
        constraints = der(0x30, b"\x01\x01\xff", b"" if role == "ark" else integer(0))
        usage = der(0x03, bytes((1, _CA_USAGE[role])))
        content = _Content(
            serial=_SERIALS[role],
            issuer=subjects["ark"],
            subject=subject,
            not_before=now,
            not_after=now + _AUTHORITY_VALIDITY,
            extensions=_extension(b"\x55\x1d\x13", constraints, critical=True)
            + _extension(b"\x55\x1d\x0f", usage, critical=True),
        )
        issued[role] = _certificate(content, keys[role], keys["ark"])
    return issued


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyProfile:
    """What the certificate of a VCEK (with ``chip_id``) or a VLEK (without) is to say."""

    product: Product
    product_name: str
    tcb: bytes
    chip_id: bytes
    csp_id: str
    issuer: str = ""
    subject: str = ""


def issue_key_certificate(
    profile: KeyProfile,
    key: ec.EllipticCurvePrivateKey,
    signer: rsa.RSAPrivateKey,
    *,
    now: datetime,
) -> bytes:
    """The certificate of a VCEK or VLEK, with AMD's extensions (57230, 3.1) and serial 0."""
    loaded = not profile.chip_id
    line = "SEV-VLEK-" if loaded else "SEV-"
    values = {
        b"\x01": integer(int(profile.product is Product.TURIN)),
        b"\x02": der(0x16, profile.product_name.encode()),
        **{
            bytes((3, number)): integer(level)
            for number, level in zip(spl_numbers(profile.product), profile.tcb, strict=True)
        },
        **({b"\x05": der(0x16, profile.csp_id.encode())} if loaded else {b"\x04": profile.chip_id}),
    }
    content = _Content(
        serial=0,
        issuer=profile.issuer or f"{line}{profile.product}",
        subject=profile.subject or ("SEV-VLEK" if loaded else "SEV-VCEK"),
        not_before=now,
        not_after=now + (_VLEK_VALIDITY if loaded else _VCEK_VALIDITY),
        extensions=b"".join(_extension(_ARC + oid, value) for oid, value in values.items()),
    )
    return _certificate(content, key, signer)


def issue_revocation_list(
    product: Product, root: rsa.RSAPrivateKey, revoked: Iterable[str], *, now: datetime
) -> bytes:
    """The root's list; ``revoked`` names authorities: ``ark``, ``ask``, ``asvk``."""
    entries = [der(0x30, integer(_SERIALS[role]), _time(now)) for role in revoked]
    tbs = der(
        0x30,
        integer(1),
        _PSS_SHA384,
        _name(f"ARK-{product}"),
        _time(now),
        _time(now + _LIST_VALIDITY),
        der(0x30, *entries) if entries else b"",
        der(0xA0, der(0x30, _extension(b"\x55\x1d\x14", integer(1)))),  # the list's number
    )
    return _sign(tbs, root)

# SPDX-License-Identifier: Apache-2.0
"""A vendor's certificates, revocation lists and collateral under a root of our own.

Pure: keys and the moment are arguments, and signatures are deterministic (RFC 6979), so that
the same arguments give the same bytes. Common names are the ones that verifiers expect; the
organisation says what it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from accord.encoding import format_time
from accord.evidence.intel import Collateral
from accord.policy import Family

FMSPC = bytes.fromhex("acc02d000000")
PCEID = bytes(2)
SGX_SVNS = (2, 2, 2, 2, 3, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0)
PCESVN = 11
TEE_TCB_SVN = bytes((5, 1, 2, *(0,) * 13))
"""TDX module 1, security version 5: byte 1 is positive, so its identity is consulted."""

QE_MRSIGNER = {
    Family.SGX: hashlib.sha256(b"accord simulated SGX quoting enclave").digest(),
    Family.TDX: hashlib.sha256(b"accord simulated quoting enclave").digest(),
}
QE_ATTRIBUTES = bytes.fromhex("11000000000000000000000000000000")
QE_ISV_PROD_ID = {Family.SGX: 1, Family.TDX: 2}
QE_ISV_SVN = 4
EVALUATION_NUMBER = 17

COLLATERAL_VALIDITY = timedelta(days=30)
"""As long as Intel's."""

CERTIFICATE_VALIDITY = timedelta(days=3650)
PCK_EXTENSION = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
_ORGANISATION = "Accord simulation (not hardware)"
_OUTDATED_ADVISORY = "ACCORD-SIM-0001"


def raw_signature(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """``r || s``, 32 bytes each, as quotes and collateral carry it."""
    der = key.sign(message, ec.ECDSA(SHA256(), deterministic_signing=True))
    return b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(der))


def raw_public_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """``x || y``, 32 bytes each."""
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return point[1:]


def to_pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(item.public_bytes(Encoding.PEM) for item in certificates)


@dataclass(frozen=True, repr=False)
class VendorKeys:
    """The private keys of a simulated vendor."""

    root: ec.EllipticCurvePrivateKey
    pck_ca: ec.EllipticCurvePrivateKey
    tcb_signer: ec.EllipticCurvePrivateKey

    @classmethod
    def generate(cls) -> VendorKeys:
        curve = ec.SECP256R1()
        return cls(*(ec.generate_private_key(curve) for _ in range(3)))


@dataclass(frozen=True)
class VendorCertificates:
    """Root, PCK Platform CA and TCB signer."""

    root: x509.Certificate
    pck_ca: x509.Certificate
    tcb_signer: x509.Certificate

    @classmethod
    def issue(cls, keys: VendorKeys, *, now: datetime) -> VendorCertificates:
        root = _certificate("Intel SGX Root CA", keys.root, None, keys.root, now=now, path_length=1)
        pck_ca = _certificate(
            "Intel SGX PCK Platform CA", keys.pck_ca, root, keys.root, now=now, path_length=0
        )
        signer = _certificate("Intel SGX TCB Signing", keys.tcb_signer, root, keys.root, now=now)
        return cls(root, pck_ca, signer)


def issue_pck(
    keys: VendorKeys,
    certificates: VendorCertificates,
    platform: ec.EllipticCurvePrivateKey,
    *,
    ppid: bytes,
    now: datetime,
) -> bytes:
    """The PCK chain (PEM, leaf first) of a platform whose PCK key is ``platform``."""
    extension = x509.UnrecognizedExtension(PCK_EXTENSION, _pck_extension(ppid))
    leaf = _certificate(
        "Intel SGX PCK Certificate",
        platform,
        certificates.pck_ca,
        keys.pck_ca,
        now=now,
        extension=extension,
    )
    return to_pem(leaf, certificates.pck_ca, certificates.root)


def issue_collateral(
    keys: VendorKeys,
    certificates: VendorCertificates,
    *,
    now: datetime,
    revoked: Iterable[int] = (),
    tee: Family = Family.TDX,
) -> Collateral:
    """Collateral for every platform of this vendor, valid from ``now`` for 30 days."""
    expires = now + COLLATERAL_VALIDITY
    tcb_info = _compact(_tcb_info(now, expires, tee))
    qe_identity = _compact(_qe_identity(now, expires, tee))
    signers = to_pem(certificates.tcb_signer, certificates.root).decode()
    return Collateral(
        pck_crl_issuer_chain=to_pem(certificates.pck_ca, certificates.root).decode(),
        root_ca_crl=_revocation_list(certificates.root, keys.root, (), now, expires),
        pck_crl=_revocation_list(certificates.pck_ca, keys.pck_ca, revoked, now, expires),
        tcb_info_issuer_chain=signers,
        tcb_info=tcb_info,
        tcb_info_signature=raw_signature(keys.tcb_signer, tcb_info.encode()),
        qe_identity_issuer_chain=signers,
        qe_identity=qe_identity,
        qe_identity_signature=raw_signature(keys.tcb_signer, qe_identity.encode()),
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANISATION),
        ]
    )


def _certificate(
    common_name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    now: datetime,
    path_length: int | None = None,
    extension: x509.ExtensionType | None = None,
) -> x509.Certificate:
    """A CA where ``path_length`` is given; the serial number follows from the key."""
    is_ca, public = path_length is not None, key.public_key()
    subject_id = x509.SubjectKeyIdentifier.from_public_key(public)
    usage = x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=not is_ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer.subject if issuer else _name(common_name))
        .public_key(public)
        .serial_number(int.from_bytes(subject_id.digest[:16], "big") | 1)
        .not_valid_before(now)
        .not_valid_after(now + CERTIFICATE_VALIDITY)
        .add_extension(_authority(issuer_key), critical=False)
        .add_extension(subject_id, critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.BasicConstraints(is_ca, path_length), critical=True)
    )
    if extension is not None:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, SHA256(), ecdsa_deterministic=True)


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _revocation_list(
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    revoked: Iterable[int],
    now: datetime,
    expires: datetime,
) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now)
        .next_update(expires)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(_authority(key), critical=False)
    )
    for serial in sorted(revoked):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        builder = builder.add_revoked_certificate(entry.build())
    signed = builder.sign(key, SHA256(), ecdsa_deterministic=True)
    return signed.public_bytes(Encoding.DER)


def _der(tag: int, value: bytes) -> bytes:
    size = len(value)
    if size < 0x80:  # noqa: PLR2004 - X.690, 8.1.3.4: short form
        return bytes((tag, size)) + value
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + value


def _pck_extension(ppid: bytes) -> bytes:
    """The value of the PCK certificate extension of a multi-package platform."""
    arc = bytes.fromhex("2a864886f84d010d01")

    def member(oid: bytes, tag: int, value: bytes) -> bytes:
        return _der(0x30, _der(0x06, arc + oid) + _der(tag, value))

    svns = b"".join(
        member(bytes((2, index)), 0x02, bytes((svn,)))
        for index, svn in enumerate((*SGX_SVNS, PCESVN), 1)
    )
    flags = b"".join(member(bytes((7, index)), 0x01, b"\xff") for index in (1, 2, 3))
    return _der(
        0x30,
        member(b"\x01", 0x04, ppid)
        + member(b"\x02", 0x30, svns + member(b"\x02\x12", 0x04, bytes(SGX_SVNS)))
        + member(b"\x03", 0x04, PCEID)
        + member(b"\x04", 0x04, FMSPC)
        + member(b"\x05", 0x0A, b"\x01")
        + member(b"\x06", 0x04, hashlib.sha256(ppid).digest()[:16])
        + member(b"\x07", 0x30, flags),
    )


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _tcb_info(now: datetime, expires: datetime, tee: Family) -> dict[str, object]:
    components = {"sgxtcbcomponents": [{"svn": svn} for svn in SGX_SVNS]}
    if tee is Family.TDX:
        components["tdxtcbcomponents"] = [{"svn": svn} for svn in (5, 0, *TEE_TCB_SVN[2:])]
    date = format_time(now)
    old = {"tcbDate": date, "tcbStatus": "OutOfDate", "advisoryIDs": [_OUTDATED_ADVISORY]}
    current = {"tcbDate": date, "tcbStatus": "UpToDate"}
    return {
        "id": tee.value.upper(),
        "version": 3,
        "issueDate": date,
        "nextUpdate": format_time(expires),
        "fmspc": FMSPC.hex().upper(),
        "pceId": PCEID.hex().upper(),
        "tcbType": 0,
        "tcbEvaluationDataNumber": EVALUATION_NUMBER,
        **(_tdx_modules(current, old) if tee is Family.TDX else {}),
        "tcbLevels": [
            {"tcb": {**components, "pcesvn": PCESVN}, **current},
            {"tcb": {**components, "pcesvn": PCESVN - 5}, **old},
        ],
    }


def _tdx_modules(current: Mapping[str, object], old: Mapping[str, object]) -> dict[str, object]:
    module = {
        "mrsigner": "00" * 48,
        "attributes": "00" * 8,
        "attributesMask": "FF" * 8,
    }
    return {
        "tdxModule": module,
        "tdxModuleIdentities": [
            {
                "id": "TDX_01",
                **module,
                "tcbLevels": [{"tcb": {"isvsvn": 5}, **current}, {"tcb": {"isvsvn": 2}, **old}],
            }
        ],
    }


def _qe_identity(now: datetime, expires: datetime, tee: Family) -> dict[str, object]:
    return {
        "id": "TD_QE" if tee is Family.TDX else "QE",
        "version": 2,
        "issueDate": format_time(now),
        "nextUpdate": format_time(expires),
        "tcbEvaluationDataNumber": EVALUATION_NUMBER,
        "miscselect": "00" * 4,
        "miscselectMask": "FF" * 4,
        "attributes": QE_ATTRIBUTES.hex().upper(),
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": QE_MRSIGNER[tee].hex().upper(),
        "isvprodid": QE_ISV_PROD_ID[tee],
        "tcbLevels": [
            {
                "tcb": {"isvsvn": QE_ISV_SVN},
                "tcbDate": format_time(now),
                "tcbStatus": "UpToDate",
            }
        ],
    }

# SPDX-License-Identifier: Apache-2.0
"""Writes NVIDIA reports, device identities and reference manifests, byte for byte."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_SWID = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd"
_XMLENC = "http://www.w3.org/2001/04/xmlenc#sha384"
_DSIG = "http://www.w3.org/2000/09/xmldsig#"
_SCOPE = f'xmlns="{_SWID}" xmlns:ds="{_DSIG}" xmlns:ns0="{_SWID}" xmlns:ns2="{_XMLENC}"'
_HALF = 48


def raw_signature(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """``r || s``, 48 bytes each: SPDM's and XML-DSig's form of ECDSA on P-384."""
    der = key.sign(message, ec.ECDSA(SHA384(), deterministic_signing=True))
    return b"".join(number.to_bytes(_HALF, "big") for number in decode_dss_signature(der))


@dataclass(frozen=True)
class GPUFirmware:
    """What a simulated GPU runs; all follows from the versions."""

    driver_version: str = "550.90.07"
    vbios_version: str = "96.00.9F.00.01"
    fwid: bytes = hashlib.sha384(b"accord simulated GPU firmware").digest()
    chip: str = "GH100"

    def blocks(self) -> dict[int, bytes]:
        """The 64 measurements: 1 to 13 are the VBIOS's, 22 to 41 the driver's, the rest zero."""
        measured = dict.fromkeys(range(1, 65), bytes(_HALF))
        for version, indices in (
            (self.vbios_version, range(2, 14)),
            (self.driver_version, range(22, 42)),
        ):
            for index in indices:
                measured[index] = hashlib.sha384(f"{version}/{index}".encode()).digest()
        return measured

    def opaque(self, *, nvdec0: bool = True) -> dict[int, bytes]:
        """The fields of a Hopper GPU, in the order in which it writes them."""
        octets = [int(part, 16) for part in self.vbios_version.split(".")]
        return {
            6: bytes((*reversed(octets[:4]), octets[4], 0, 0, 0)),
            14: (945).to_bytes(4, "little"),
            15: b"882".ljust(9, b"\0"),
            17: b"1010\0",
            18: b"0200\0",
            3: self.driver_version.encode() + b"\0",
            12: struct.pack("<64I", *(int(any(value)) for value in self.blocks().values())),
            11: b"\xaa" if nvdec0 else b"\x55",
            20: self.fwid,
            21: b"\x55",
            34: b"\x01\0",
            36: b"\0\0",
        }


def write_report(
    key: ec.EllipticCurvePrivateKey,
    nonce: bytes,
    blocks: Mapping[int, bytes],
    opaque: Mapping[int, bytes],
) -> bytes:
    """GET_MEASUREMENTS with ``nonce``, and MEASUREMENTS signed by ``key`` (DMTF DSP0274)."""
    record = b"".join(
        struct.pack("<BBHBH", index, 1, len(value) + 3, 1, len(value)) + value
        for index, value in blocks.items()
    )
    fields = b"".join(
        struct.pack("<HH", number, len(value)) + value for number, value in opaque.items()
    )
    signed = b"".join(
        (
            bytes((0x11, 0xE0, 0x01, 0xFF)),
            nonce,
            bytes((0, 0x11, 0x60, 0, 0, len(blocks))),
            len(record).to_bytes(3, "little"),
            record,
            hashlib.sha256(b"response" + nonce).digest(),
            len(fields).to_bytes(2, "little"),
            fields,
        )
    )
    return signed + raw_signature(key, signed)


def dice_identity(key: ec.EllipticCurvePrivateKey, fwid: bytes) -> bytes:
    """The value of the DICE extension as Hopper writes it: version, key, firmware digest."""
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    spki = bytes.fromhex("3076301006072a8648ce3d020106052b81040022036200") + point
    digest = bytes.fromhex("303d0609608648016503040202 0430") + fwid
    members = bytes.fromhex("020101") + spki + digest
    return bytes((0x30, 0x81, len(members))) + members


def write_manifest(
    key: ec.EllipticCurvePrivateKey,
    chain: Sequence[bytes],
    *,
    product: str,
    version: str,
    references: Mapping[int, Sequence[bytes]],
    size: int = 64,
) -> bytes:
    """A SWID tag signed by ``key``, whose certificates (DER) are ``chain``.

    ``references`` maps indices (block less one) to the values that are allowed there. What is
    signed is written in canonical form (Canonical XML 1.1) in the first place.
    """
    resources = "".join(_resource(index, references.get(index, ())) + "\n" for index in range(size))
    head = f'<SoftwareIdentity xmlns="{_SWID}" xmlns:ns0="{_SWID}" xmlns:ns2="{_XMLENC}" '
    identity = hashlib.sha384(f"{product}/{version}".encode()).hexdigest()
    body = (
        f'{head}name="{product}" tagId="{identity}" version="1.0">\n'
        '<ns0:Entity name="Accord simulation (not hardware)" role="tagCreator"></ns0:Entity>\n'
        f'<ns0:Meta colloquialVersion="{version}" product="{product}"></ns0:Meta>\n'
        f"<ns0:Payload>\n{resources}</ns0:Payload>\n"
    )
    end = "</SoftwareIdentity>"
    digest = base64.b64encode(hashlib.sha384((body + end).encode()).digest()).decode()
    info = _signed_info(digest)
    signed = info.replace("<ds:SignedInfo>", f"<ds:SignedInfo {_SCOPE}>").encode()
    value = base64.b64encode(raw_signature(key, signed)).decode()
    certificates = "".join(
        f"<ds:X509Certificate>{base64.b64encode(der).decode()}</ds:X509Certificate>"
        for der in chain
    )
    signature = (
        f'<ds:Signature xmlns:ds="{_DSIG}">{info}<ds:SignatureValue>{value}</ds:SignatureValue>'
        f"<ds:KeyInfo><ds:X509Data>{certificates}</ds:X509Data></ds:KeyInfo></ds:Signature>"
    )
    return (body + signature + end).encode()


def _resource(index: int, values: Sequence[bytes]) -> str:
    """One measurement; inactive where no value is expected. Attributes in canonical order."""
    hashes = "".join(
        f' ns2:Hash{number}="{value.hex()}"'
        for number, value in enumerate(values or [bytes(_HALF)])
    )
    return (
        f'<ns0:Resource active="{bool(values)}" alternatives="{len(values) or 1}" '
        f'index="{index}" name="Measurement_{index}" size="{_HALF}" type="Measurement"{hashes}>'
        "</ns0:Resource>"
    )


def _signed_info(digest: str) -> str:
    canonical = "http://www.w3.org/2006/12/xml-c14n11"
    more = "http://www.w3.org/2001/04/xmldsig-more"
    return (
        "<ds:SignedInfo>"
        f'<ds:CanonicalizationMethod Algorithm="{canonical}"></ds:CanonicalizationMethod>'
        f'<ds:SignatureMethod Algorithm="{more}#ecdsa-sha384"></ds:SignatureMethod>'
        '<ds:Reference URI=""><ds:Transforms>'
        f'<ds:Transform Algorithm="{_DSIG}enveloped-signature"></ds:Transform>'
        f'<ds:Transform Algorithm="{canonical}"></ds:Transform></ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{more}#sha384"></ds:DigestMethod>'
        f"<ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    )

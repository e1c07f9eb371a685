# SPDX-License-Identifier: Apache-2.0
"""Writes what TPMs sign, with a key that tests hold: to forge what no TPM would sign."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accord.encoding import Digest, sha256
from accord.evidence import Evidence
from accord.evidence.tpm import format_registers, pack_quote
from accord.policy import Family

ALGORITHMS = {"sha1": 0x0004, "sha256": 0x000B, "sha384": 0x000C, "sha512": 0x000D}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - what old TPMs sign with
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_CURVES = {"secp256r1": (0x0003, 32), "secp384r1": (0x0004, 48), "secp521r1": (0x0005, 66)}
RESTRICTED_SIGNING = 0x00050072
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def sized(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def select(registers: Sequence[tuple[str, int]]) -> bytes:
    """TPML_PCR_SELECTION, banks in their order of appearance."""
    banks: dict[str, int] = {}
    for bank, index in registers:
        banks[bank] = banks.get(bank, 0) | 1 << index
    lists = (
        struct.pack(">HB", ALGORITHMS[bank], 3) + bits.to_bytes(3, "little")
        for bank, bits in banks.items()
    )
    return struct.pack(">I", len(banks)) + b"".join(lists)


def attest(
    body: bytes,
    *,
    magic: int = 0xFF544347,
    kind: int = 0x8018,
    extra_data: bytes = bytes(32),
    safe: int = 1,
) -> bytes:
    """A TPMS_ATTEST."""
    clock = struct.pack(">QIIB", 1000, 7, 3, safe)
    signer = sized(b"\x00\x0b" + bytes(32))
    head = struct.pack(">IH", magic, kind) + signer + sized(extra_data)
    return head + clock + struct.pack(">Q", 0x2019_1023_0016_3636) + body


def public_area(key: PrivateKey, attributes: int = RESTRICTED_SIGNING) -> bytes:
    """A TPMT_PUBLIC, name algorithm SHA-256."""
    head = struct.pack(">HI", 0x000B, attributes) + sized(b"")
    if isinstance(key, rsa.RSAPrivateKey):
        modulus = key.public_key().public_numbers().n.to_bytes(key.key_size // 8, "big")
        parameters = struct.pack(">HHHI", 0x0010, 0x0010, key.key_size, 0)
        return struct.pack(">H", 0x0001) + head + parameters + sized(modulus)
    curve, size = _CURVES[key.curve.name]
    numbers = key.public_key().public_numbers()
    point = b"".join(sized(part.to_bytes(size, "big")) for part in (numbers.x, numbers.y))
    parameters = struct.pack(">HHHH", 0x0010, 0x0010, curve, 0x0010)
    return struct.pack(">H", 0x0023) + head + parameters + point


def sign(key: PrivateKey, message: bytes, *, algorithm: str = "sha256", pss: bool = False) -> bytes:
    """A TPMT_SIGNATURE."""
    digest = _HASHES[algorithm]
    if isinstance(key, rsa.RSAPrivateKey):
        scheme = padding.PSS(padding.MGF1(digest), digest.digest_size) if pss else None
        value = key.sign(message, scheme or padding.PKCS1v15(), digest)
        return struct.pack(">HH", 0x0016 if pss else 0x0014, ALGORITHMS[algorithm]) + sized(value)
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
    size = (key.curve.key_size + 7) // 8
    parts = b"".join(sized(number.to_bytes(size, "big")) for number in (r, s))
    return struct.pack(">HH", 0x0018, ALGORITHMS[algorithm]) + parts


@dataclass(frozen=True)
class ForgedTPM:
    """A "TPM" that signs whatever a test asks for: its key is one that tests hold."""

    key: PrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def anchor(self) -> Digest:
        """The digest to pin."""
        spki = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return sha256(spki)

    def evidence(
        self,
        registers: Mapping[tuple[str, int], bytes],
        *,
        family: Family = Family.TPM,
        algorithm: str = "sha256",
        pss: bool = False,
        attributes: int = RESTRICTED_SIGNING,
        extra_data: bytes = bytes(32),
        logs: Mapping[str, bytes] | None = None,
        **changes: int,
    ) -> Evidence:
        """A quote of ``registers``; ``changes`` go to `attest`."""
        digest = hashlib.new(algorithm, b"".join(registers.values())).digest()
        body = select(tuple(registers)) + sized(digest)
        attested = attest(body, extra_data=extra_data, **changes)
        aux = {
            "ak_public": public_area(self.key, attributes),
            "pcrs": format_registers(registers),
            **(logs or {}),
        }
        signature = sign(self.key, attested, algorithm=algorithm, pss=pss)
        return Evidence(family, pack_quote(attested, signature), {}, aux)

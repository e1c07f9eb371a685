# SPDX-License-Identifier: Apache-2.0
"""Images, logs and manifests made for the purpose: byte-exact, and of nothing real."""

from __future__ import annotations

import hashlib
import struct
import uuid
from functools import cache
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

JSON = Any


# --- SGX ------------------------------------------------------------------------------------


@cache
def enclave_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=3, key_size=3072)


def sigstruct(*, prod_id: int = 7, svn: int = 3, debug: bool = False, **changes: bytes) -> bytes:
    """A SIGSTRUCT signed by `enclave_key`; ``changes`` replace bytes at ``at_OFFSET`` before."""
    data = bytearray(1808)
    data[0:16] = bytes.fromhex("06000000e10000000000010000000000")
    data[20:24] = bytes.fromhex("20261231")[::-1]
    data[24:40] = bytes.fromhex("01010000600000006000000001000000")
    data[928:944] = bytes([0x04 | 0x02 * debug]) + bytes(7) + bytes([3]) + bytes(7)
    data[944:960] = b"\xff" * 16
    data[960:992] = hashlib.sha256(b"enclave").digest()
    data[1024:1026] = prod_id.to_bytes(2, "little")
    data[1026:1028] = svn.to_bytes(2, "little")
    for name, value in changes.items():
        at = int(name.removeprefix("at_"))
        data[at : at + len(value)] = value
    key = enclave_key()
    modulus = key.public_key().public_numbers().n
    signed = bytes(data[:128] + data[900:1028])
    signature = int.from_bytes(key.sign(signed, padding.PKCS1v15(), SHA256()), "big")
    square, rest = divmod(signature**2, modulus)
    numbers = {128: modulus, 516: signature, 1040: square, 1424: rest * signature // modulus}
    for at, number in numbers.items():
        data[at : at + 384] = number.to_bytes(384, "little")
    data[512:516] = (3).to_bytes(4, "little")
    return bytes(data)


# --- Firmware images ------------------------------------------------------------------------

_FOOTER = "96b582de-1fb2-45f7-baea-a366c55a082d"
_TDX_METADATA = "e47a6535-984a-4798-865e-4685a7bf8ec2"
_SEV_METADATA = "dc886566-984a-4798-a75e-5585a7bf67cc"
_SEV_HASHES = "7255371f-3a3b-4b04-927b-1da6efa8d454"
_SEV_RESET = "00f771de-1a7e-4fcb-890e-68c77e2fb44e"


def _table(*entries: tuple[str, bytes]) -> bytes:
    """The table of GUIDs at the end of OVMF: each entry is data, size, GUID."""
    body = b"".join(
        data + struct.pack("<H", len(data) + 18) + uuid.UUID(guid).bytes_le
        for guid, data in entries
    )
    return body + struct.pack("<H", len(body) + 18) + uuid.UUID(_FOOTER).bytes_le


def tdvf(sections: list[tuple[int, int, int, int, int, int]], *, size: int = 0x4000) -> bytes:
    """An image with TDVF metadata at 0x100; a section is offset, raw size, address, size,
    type, attributes."""
    image = bytearray(hashlib.shake_128(b"firmware").digest(size))
    header = struct.pack("<4sIII", b"TDVF", 16 + 32 * len(sections), 1, len(sections))
    metadata = header + b"".join(struct.pack("<IIQQII", *item) for item in sections)
    image[0x100 : 0x100 + len(metadata)] = metadata
    table = _table(
        ("00000000-0000-0000-0000-000000000001", b"x"),
        (_TDX_METADATA, struct.pack("<I", size - 0x100)),
    )
    image[size - 32 - len(table) : size - 32] = table
    return bytes(image)


TDVF_SECTIONS = [
    (0x2000, 0x2000, 0xFFFFE000, 0x2000, 0, 1),  # boot firmware, measured
    (0x1000, 0x800, 0xFFFFC000, 0x1000, 1, 0),  # variables, added
    (0, 0, 0x810000, 0x2000, 2, 0),  # hand-off block, added
    (0, 0, 0x900000, 0x10000, 4, 2),  # added at run time
    (0x1000, 0x10, 0xA00000, 0x1000, 5, 1),  # shorter than its memory
]


def ovmf(*, size: int = 0x4000) -> bytes:
    """An image with the metadata that SEV-SNP needs."""
    image = bytearray(hashlib.shake_128(b"ovmf").digest(size))
    sections = [
        (0x800000, 0x1000, 1),
        (0x801000, 0x1000, 2),
        (0x802000, 0x1000, 3),
        (0x803000, 0x1000, 0x10),
    ]
    metadata = struct.pack("<4sIII", b"ASEV", 16 + 12 * len(sections), 1, len(sections))
    metadata += b"".join(struct.pack("<III", *item) for item in sections)
    image[0x100 : 0x100 + len(metadata)] = metadata
    table = _table(
        (_SEV_HASHES, struct.pack("<II", 0x803C00, 0x400)),
        (_SEV_RESET, struct.pack("<I", 0xFFFFF004)),
        (_SEV_METADATA, struct.pack("<I", size - 0x100)),
    )
    image[size - 32 - len(table) : size - 32] = table
    return bytes(image)


# --- Event logs -----------------------------------------------------------------------------


def event_log(*events: tuple[int, bytes]) -> bytes:
    """A crypto-agile log with a SHA-256 and a SHA-384 bank; an event is register and text."""
    spec = b"Spec ID Event03\0" + struct.pack("<IBBBBI", 0, 0, 2, 0, 2, 2)
    spec += struct.pack("<HHHH", 0x0B, 32, 0x0C, 48) + b"\0"
    log = struct.pack("<II20sI", 0, 3, b"", len(spec)) + spec
    for register, text in events:
        digests = struct.pack("<H", 0x0B) + hashlib.sha256(text).digest()
        digests += struct.pack("<H", 0x0C) + hashlib.sha384(text).digest()
        log += struct.pack("<III", register, 0x0D, 2) + digests
        log += struct.pack("<I", len(text)) + text
    return log


# --- Manifests ------------------------------------------------------------------------------

IMPLEMENTATION = hashlib.sha256(b"implementation").digest()
SIGNER_ID = hashlib.sha256(b"signer").digest()
DIGEST = hashlib.sha256(b"boot loader").digest()
PSA = "tag:arm.com,2025:psa#1.0.0"


def tag(number: int, value: Any) -> Any:
    return cbor2.CBORTag(number, value)


def component(**changes: Any) -> dict[int, Any]:
    """The values of one software component."""
    values: dict[int, Any] = {
        0: {0: "2.1.0"},
        2: [[1, DIGEST]],
        11: "BL",
        13: [tag(560, SIGNER_ID)],
    }
    for name, value in changes.items():
        values[int(name.removeprefix("k"))] = value
    return {key: value for key, value in values.items() if value is not None}


def psa_environment(**more: Any) -> dict[int, Any]:
    return {0: {0: tag(560, IMPLEMENTATION), 1: "ACME", 2: "RoadRunner"}, **more.get("more", {})}


def psa_triples(*values: dict[int, Any]) -> dict[int, Any]:
    """Reference triples of a PSA device with these components."""
    listed = [{0: "psa.software-component", 1: item} for item in values or (component(),)]
    return {0: [[psa_environment(), listed]]}


def manifest(triples: Any, *, profile: Any = PSA, **more: Any) -> bytes:
    """An unsigned CoRIM; ``more`` adds fields of its map by their numbers, as ``kN``."""
    comid = cbor2.dumps({1: {0: "tag-1"}, 4: triples})
    fields = {0: "example", 1: [tag(506, comid)], 3: tag(32, profile)}
    fields |= {int(name.removeprefix("k")): value for name, value in more.items()}
    return cbor2.dumps(tag(501, {key: value for key, value in fields.items() if value is not None}))


SignerPrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def spki(key: SignerPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pem(key: SignerPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def cose_sign(key: SignerPrivateKey, message: bytes) -> bytes:
    """A signature as COSE has it."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    digest = {256: SHA256(), 384: SHA384(), 521: SHA512()}[key.curve.key_size]
    half = (key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
    return r.to_bytes(half, "big") + s.to_bytes(half, "big")


def signed(
    payload: bytes, key: SignerPrivateKey, *, alg: int, outer: int = 18, **more: Any
) -> bytes:
    """A signed CoRIM; ``more`` changes its protected header, as ``kN``."""
    meta = cbor2.dumps({0: {0: "ACME"}})
    header: dict[int, Any] = {1: alg, 3: "application/rim+cbor", 4: b"kid", 8: meta}
    header |= {int(name.removeprefix("k")): value for name, value in more.items()}
    protected = cbor2.dumps({key: value for key, value in header.items() if value is not None})
    signature = cose_sign(key, cbor2.dumps(["Signature1", protected, b"", payload]))
    message: Any = [protected, {}, payload, signature]
    return cbor2.dumps(tag(outer, message))

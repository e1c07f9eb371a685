# SPDX-License-Identifier: Apache-2.0
"""What a TPM signs, and the keys and signatures it does so with (TPM 2.0 Library, part 2)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accord.errors import EvidenceMalformedError
from accord.evidence._reader import Reader
from accord.evidence._signature import PublicKey

HASHES: Final[Mapping[int, tuple[str, int]]] = MappingProxyType(
    {
        0x0004: ("sha1", 20),
        0x000B: ("sha256", 32),
        0x000C: ("sha384", 48),
        0x000D: ("sha512", 64),
        0x0012: ("sm3_256", 32),
        0x0027: ("sha3_256", 32),
        0x0028: ("sha3_384", 48),
        0x0029: ("sha3_512", 64),
    }
)
"""Name and digest size of every hash that a bank can have (TCG Algorithm Registry, table 3)."""

BANKS: Final = ("sha512", "sha384", "sha256", "sha1")
"""The banks whose registers become claims, strongest first."""

_PCRS = 24
_MAX_SELECTIONS = 16
_MAX_SELECT_BYTES = 4

_MAGIC: Final = 0xFF544347  # TPM_GENERATED_VALUE: what the TPM itself made (6.2)
_CLOCK = struct.Struct(">QIIBQ")  # TPMS_CLOCK_INFO, and the firmware version after it
_CERTIFY, _QUOTE, _CREATION = 0x8017, 0x8018, 0x801A
_RSA, _ECC = 0x0001, 0x0023
_NULL = 0x0010
_RSASSA, _RSAES, _RSAPSS, _OAEP = 0x0014, 0x0015, 0x0016, 0x0017
_ECDSA, _ECDH = 0x0018, 0x0019
_DEFAULT_EXPONENT = 65537
_MIN_RSA_BITS, _MAX_RSA_BITS = 2048, 4096

_CURVES: Mapping[int, ec.EllipticCurve] = MappingProxyType(
    {0x0003: ec.SECP256R1(), 0x0004: ec.SECP384R1(), 0x0005: ec.SECP521R1()}
)

FIXED_TPM, FIXED_PARENT, MADE_INSIDE = 1 << 1, 1 << 4, 1 << 5
"""TPMA_OBJECT (8.3.2): bound to one TPM; and to one parent; sensitiveDataOrigin."""

RESTRICTED, DECRYPT, SIGN = 1 << 16, 1 << 17, 1 << 18
"""TPMA_OBJECT (8.3.2): signs only what the TPM made; decrypts; signs."""

SIGNING_KEY: Final = "restricted, sign, fixedTPM, fixedParent, sensitiveDataOrigin, not decrypt"
"""What `Public.attests` demands, in words."""

_NO_ATTRIBUTE = 0xFFF0F009
"""Reserved bits of TPMA_OBJECT."""


@dataclass(frozen=True, slots=True)
class Clock:
    """TPMS_CLOCK_INFO (10.11). ``safe``: no earlier attestation can have a later ``time``.

    Where the key is not of the endorsement or platform hierarchy, the counters carry a secret
    offset of that key (part 1, 36): they can be compared with each other alone.
    """

    time: int
    reset_count: int
    restart_count: int
    safe: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """Registers of one bank, ascending (TPMS_PCR_SELECTION, 10.6)."""

    bank: str
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Quoted:
    """TPMS_QUOTE_INFO (10.12): a digest over the selected registers, one after the other."""

    selections: tuple[Selection, ...]
    pcr_digest: bytes


@dataclass(frozen=True, slots=True)
class Certified:
    """TPMS_CERTIFY_INFO or TPMS_CREATION_INFO: the name of a key that is in the same TPM.

    ``detail`` is its qualified name, or the hash of its creation data.
    """

    kind: Literal["certify", "creation"]
    name: bytes
    detail: bytes


@dataclass(frozen=True, slots=True)
class Attest:
    """TPMS_ATTEST (10.12). ``firmware_version`` is two 32-bit halves in one number."""

    qualified_signer: bytes
    extra_data: bytes
    clock: Clock
    firmware_version: int
    attested: Quoted | Certified


@dataclass(frozen=True, slots=True)
class Signature:
    """TPMT_SIGNATURE (11.3); ``value`` is RSA's number, or ``r`` and ``s`` of ECDSA."""

    scheme: Literal["rsassa", "rsapss", "ecdsa"]
    hash: str
    value: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Public:
    """TPMT_PUBLIC of an RSA or ECC key (12.2).

    ``name`` is what the TPM calls it: it covers attributes and policy too. ``symmetric`` is
    the key size of its AES-CFB where it wraps others, else 0. ``raw`` is all of it.
    """

    raw: bytes
    name_hash: str
    attributes: int
    policy: bytes
    key: PublicKey
    spki: bytes
    symmetric: int

    @property
    def name(self) -> bytes:
        """Algorithm identifier and digest (part 1, 16)."""
        return self.raw[2:4] + hashlib.new(self.name_hash, self.raw).digest()

    @property
    def attests(self) -> bool:
        """Whether such a key was made in its TPM, stays there, and signs only what that made."""
        wanted = FIXED_TPM | FIXED_PARENT | MADE_INSIDE | RESTRICTED | SIGN
        return self.attributes & (wanted | DECRYPT) == wanted


def spki_of(key: PublicKey) -> bytes:
    """DER SubjectPublicKeyInfo: of all spellings of a key, the one that is pinned."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def parse_attest(data: bytes) -> Attest:
    """A TPMS_ATTEST that fills ``data``. Raises ``EvidenceMalformedError``."""
    what = "TPMS_ATTEST"
    reader = Reader(data, what, "big")
    # Without the magic a restricted key may have signed it, but somebody else wrote it.
    reader.expect(4, _MAGIC, "its magic number")
    kind = reader.number(2)
    signer, extra_data = reader.sized(2), reader.sized(2)
    time, resets, restarts, safe, firmware = _CLOCK.unpack(reader.take(_CLOCK.size))
    if safe > 1:
        raise EvidenceMalformedError(what=what, detail=f"clock safe is {safe}, expected 0 or 1")
    if kind == _QUOTE:
        attested: Quoted | Certified = Quoted(_read_selections(reader, what), reader.sized(2))
    elif kind in {_CERTIFY, _CREATION}:
        attested = Certified(
            "certify" if kind == _CERTIFY else "creation", reader.sized(2), reader.sized(2)
        )
    else:
        raise EvidenceMalformedError(what=what, detail=f"type {kind:#06x} is not supported")
    reader.end()
    return Attest(signer, extra_data, Clock(time, resets, restarts, bool(safe)), firmware, attested)


def _read_selections(reader: Reader, what: str) -> tuple[Selection, ...]:
    """TPML_PCR_SELECTION (10.9); a register may be selected once."""
    count = reader.number(4)
    if count > _MAX_SELECTIONS:
        raise EvidenceMalformedError(what=what, detail=f"it selects from {count} banks")
    found: list[Selection] = []
    for _ in range(count):
        bank, _ = _hash(reader.number(2), what)
        size = reader.number(1)
        if size > _MAX_SELECT_BYTES:
            raise EvidenceMalformedError(what=what, detail=f"a selection has {size} bytes")
        bits = int.from_bytes(reader.take(size), "little")
        if bits >> _PCRS:
            raise EvidenceMalformedError(what=what, detail="it selects registers beyond 23")
        indices = tuple(index for index in range(_PCRS) if bits >> index & 1)
        if any(bank == other.bank and {*indices} & {*other.indices} for other in found):
            raise EvidenceMalformedError(what=what, detail="it selects a register twice")
        found.append(Selection(bank, indices))
    return tuple(found)


def _hash(number: int, what: str) -> tuple[str, int]:
    if number not in HASHES:
        raise EvidenceMalformedError(what=what, detail=f"hash {number:#06x} is not supported")
    return HASHES[number]


def _sha(number: int, what: str) -> str:
    """The name of a hash that we compute."""
    name, _ = _hash(number, what)
    if name not in BANKS:
        raise EvidenceMalformedError(what=what, detail=f"hash {name} is not supported")
    return name


def read_signature(reader: Reader) -> Signature:
    """The TPMT_SIGNATURE that comes next. Raises ``EvidenceMalformedError``."""
    what = "TPMT_SIGNATURE"
    scheme, hash_number = reader.number(2), reader.number(2)
    if scheme == _RSASSA:
        return Signature("rsassa", _sha(hash_number, what), (reader.sized(2),))
    if scheme == _RSAPSS:
        return Signature("rsapss", _sha(hash_number, what), (reader.sized(2),))
    if scheme == _ECDSA:
        return Signature("ecdsa", _sha(hash_number, what), (reader.sized(2), reader.sized(2)))
    raise EvidenceMalformedError(what=what, detail=f"scheme {scheme:#06x} is not supported")


def parse_signature(data: bytes) -> Signature:
    """A TPMT_SIGNATURE that fills ``data``. Raises ``EvidenceMalformedError``."""
    reader = Reader(data, "TPMT_SIGNATURE", "big")
    signature = read_signature(reader)
    reader.end()
    return signature


@lru_cache(maxsize=64)
def parse_public(data: bytes, *, what: str = "TPMT_PUBLIC") -> Public:
    """A TPMT_PUBLIC that fills ``data``: an RSA key from 2048 bits, or ECC on a NIST curve.

    Whether the attributes are those of an attestation key is *not* checked.
    Raises ``EvidenceMalformedError``.
    """
    reader = Reader(data, what, "big")
    kind = reader.number(2)
    name_hash = _sha(reader.number(2), what)
    attributes, policy = reader.number(4), reader.sized(2)
    if attributes & _NO_ATTRIBUTE:
        raise EvidenceMalformedError(what=what, detail="it has attributes that are reserved")
    key: PublicKey
    if kind == _RSA:
        symmetric, key = _read_rsa(reader, what)
    elif kind == _ECC:
        symmetric, key = _read_ecc(reader, what)
    else:
        raise EvidenceMalformedError(what=what, detail=f"key type {kind:#06x} is not supported")
    reader.end()
    return Public(data, name_hash, attributes, policy, key, spki_of(key), symmetric)


def _read_symmetric(reader: Reader, what: str) -> int:
    """TPMT_SYM_DEF_OBJECT (11.1): the size of an AES key in CFB mode, or nothing."""
    algorithm = reader.number(2)
    if algorithm == _NULL:
        return 0
    bits, mode = reader.number(2), reader.number(2)
    if (algorithm, mode) != (0x0006, 0x0043) or bits not in {128, 192, 256}:
        raise EvidenceMalformedError(what=what, detail="its symmetric cipher is not AES-CFB")
    return bits


def _read_rsa(reader: Reader, what: str) -> tuple[int, rsa.RSAPublicKey]:
    """TPMS_RSA_PARMS (12.2) and the modulus."""
    symmetric = _read_symmetric(reader, what)
    scheme = reader.number(2)
    if scheme in {_RSASSA, _RSAPSS, _OAEP}:
        _sha(reader.number(2), what)
    elif scheme not in {_NULL, _RSAES}:
        raise EvidenceMalformedError(what=what, detail=f"scheme {scheme:#06x} is not supported")
    bits, exponent = reader.number(2), reader.number(4) or _DEFAULT_EXPONENT
    modulus = int.from_bytes(reader.sized(2), "big")
    if modulus.bit_length() != bits or not _MIN_RSA_BITS <= bits <= _MAX_RSA_BITS:
        raise EvidenceMalformedError(what=what, detail=f"its modulus has not {bits} bits")
    try:
        return symmetric, rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as exc:
        raise EvidenceMalformedError(what=what, detail="it is no RSA key") from exc


def _read_ecc(reader: Reader, what: str) -> tuple[int, ec.EllipticCurvePublicKey]:
    """TPMS_ECC_PARMS (12.2) and the point."""
    symmetric = _read_symmetric(reader, what)
    scheme = reader.number(2)
    if scheme in {_ECDSA, _ECDH}:
        _sha(reader.number(2), what)
    elif scheme != _NULL:
        raise EvidenceMalformedError(what=what, detail=f"scheme {scheme:#06x} is not supported")
    curve = _CURVES.get(reader.number(2))
    if curve is None or reader.number(2) != _NULL:
        raise EvidenceMalformedError(what=what, detail="its curve or KDF is not supported")
    size = (curve.key_size + 7) // 8
    point = [reader.sized(2) for _ in range(2)]
    if any(len(part) > size for part in point):
        raise EvidenceMalformedError(what=what, detail="its point is too long")
    # Older TPMs leave leading zeros out.
    encoded = b"\x04" + b"".join(part.rjust(size, b"\0") for part in point)
    try:
        return symmetric, ec.EllipticCurvePublicKey.from_encoded_point(curve, encoded)
    except ValueError as exc:
        raise EvidenceMalformedError(what=what, detail="its point is not on its curve") from exc

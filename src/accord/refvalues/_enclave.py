# SPDX-License-Identifier: Apache-2.0
"""The SIGSTRUCT of an SGX enclave (Intel SDM, volume 3D, 36.13 and 38.1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from accord.errors import EnclaveSignatureError, ImageRefusedError
from accord.policy import Family
from accord.refvalues._values import ReferenceValues

SIGSTRUCT_BYTES = 1808
_WHAT = "SIGSTRUCT"
_KEY_BYTES = 384
_EXPONENT = 3
_HEADER = bytes.fromhex("06000000e10000000000010000000000")
_HEADER2 = bytes.fromhex("01010000600000006000000001000000")
_DEBUG = 0x02
_RESERVED = ((44, 128), (910, 912), (992, 1008), (1028, 1040))


@dataclass(frozen=True, slots=True)
class SigStruct:
    """What the signer of an enclave says of it; ``attributes`` count under ``mask`` alone."""

    mrsigner: bytes
    mrenclave: bytes
    isv_prod_id: int
    isv_svn: int
    attributes: bytes
    mask: bytes
    date: str
    intel: bool

    @property
    def allows_debug(self) -> bool:
        """Whether the enclave could also be started with debug, which evidence would show."""
        return not self.mask[0] & _DEBUG or bool(self.attributes[0] & _DEBUG)


def parse_sigstruct(data: bytes) -> SigStruct:
    """The SIGSTRUCT in ``data``, as a processor would check it before starting the enclave.

    Whose key it is, it does *not* say: compare ``mrsigner``. Raises ``ImageRefusedError`` or
    ``EnclaveSignatureError``.
    """
    # (1) Its size, its two headers, zeros where it is reserved.
    if len(data) != SIGSTRUCT_BYTES:
        detail = f"{len(data)} bytes, expected {SIGSTRUCT_BYTES}"
        raise ImageRefusedError(what=_WHAT, detail=detail)
    if data[:16] != _HEADER or data[24:40] != _HEADER2:
        raise ImageRefusedError(what=_WHAT, detail="its header is not one of an SGX enclave")
    if any(any(data[start:end]) for start, end in _RESERVED):
        raise ImageRefusedError(what=_WHAT, detail="reserved bytes are not zero")
    # (2) The RSA key and the signature over the two signed parts; all numbers little-endian.
    modulus, signature = _number(data, 128), _number(data, 516)
    if int.from_bytes(data[512:516], "little") != _EXPONENT:
        raise ImageRefusedError(what=_WHAT, detail=f"its RSA exponent is not {_EXPONENT}")
    try:
        key = rsa.RSAPublicNumbers(_EXPONENT, modulus).public_key()
        signed = data[:128] + data[900:1028]
        key.verify(signature.to_bytes(_KEY_BYTES, "big"), signed, padding.PKCS1v15(), SHA256())
    except ValueError as exc:
        raise ImageRefusedError(what=_WHAT, detail="its RSA key cannot be read") from exc
    except InvalidSignature as exc:
        raise EnclaveSignatureError from exc
    # (3) Q1 and Q2, quotients with which EINIT computes; with others it does not start.
    square, rest = divmod(signature**2, modulus)
    if (_number(data, 1040), _number(data, 1424)) != (square, rest * signature // modulus):
        raise EnclaveSignatureError
    return SigStruct(
        mrsigner=hashlib.sha256(data[128:512]).digest(),
        mrenclave=data[960:992],
        isv_prod_id=int.from_bytes(data[1024:1026], "little"),
        isv_svn=int.from_bytes(data[1026:1028], "little"),
        attributes=data[928:944],
        mask=data[944:960],
        date=data[20:24][::-1].hex(),
        intel=data[16:20] == b"\x86\x80\0\0",
    )


def _number(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + _KEY_BYTES], "little")


def measure_enclave(data: bytes) -> ReferenceValues:
    """What a policy can name of the enclave that a SIGSTRUCT is for.

    Raises as `parse_sigstruct` does.
    """
    found = parse_sigstruct(data)
    caveats = [
        "without mrenclave the variant admits every later enclave of this signer and product",
    ]
    if found.allows_debug:
        caveats.append("it may be started with debug; such evidence is refused")
    return ReferenceValues(
        Family.SGX,
        measurements={"mrenclave": (found.mrenclave,), "mrsigner": (found.mrsigner,)},
        attributes={"isv_prod_id": (found.isv_prod_id,)},
        minimums={"isv_svn": found.isv_svn},
        caveats=tuple(caveats),
    )

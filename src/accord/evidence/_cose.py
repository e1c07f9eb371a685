# SPDX-License-Identifier: Apache-2.0
"""COSE: single-signer signatures and elliptic curve keys (RFC 9052, RFC 9053)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from accord.encoding import CBORValue, Tagged
from accord.errors import EvidenceMalformedError
from accord.evidence._cbor import read_cbor
from accord.evidence._signature import PublicKey, verify_raw_ecdsa

SIGN1, MAC0, CWT = 18, 17, 61
"""CBOR tags: COSE_Sign1, COSE_Mac0, CBOR Web Token."""

_ALGORITHM, _CRITICAL = 1, 2
_KEY_TYPE, _KEY_ALGORITHM, _CURVE, _X, _Y, _EC2 = 1, 3, -1, -2, -3, 2
_UNCOMPRESSED = 4
_PARTS = 4
_CACHE = 64


@dataclass(frozen=True, slots=True)
class Algorithm:
    """ECDSA with the hash and the curve that belong together (RFC 9864, 2.1)."""

    name: str
    curve: type[ec.EllipticCurve]
    digest: hashes.HashAlgorithm
    coordinate_bytes: int


ALGORITHMS: Mapping[int, Algorithm] = MappingProxyType(
    {
        -7: Algorithm("ES256", ec.SECP256R1, hashes.SHA256(), 32),
        -35: Algorithm("ES384", ec.SECP384R1, hashes.SHA384(), 48),
        -36: Algorithm("ES512", ec.SECP521R1, hashes.SHA512(), 66),
    }
)
"""By their number in the COSE registry."""

_COSE_CURVES: Mapping[int, int] = MappingProxyType({1: -7, 2: -35, 3: -36})


@dataclass(frozen=True, slots=True)
class Sign1:
    """A COSE_Sign1 message taken apart; nothing is verified.

    ``algorithm`` is None where the protected header is empty: it is never taken from the
    unprotected header, which nobody signs and nobody reads here.
    """

    algorithm: int | None
    protected: bytes
    payload: bytes
    signature: bytes


def parse_sign1(data: bytes | CBORValue, *, what: str, tags: frozenset[int | None]) -> Sign1:
    """Takes a COSE_Sign1 message apart, which comes under one of ``tags`` (None: under none).

    Tag 61 around tag 18 (RFC 8392, 6) is accepted where 18 is. A header that must be
    understood is refused, since none is. Raises ``EvidenceMalformedError``.
    """
    value = read_cbor(data, what=what) if isinstance(data, bytes) else data
    if isinstance(value, Tagged) and value.tag == CWT and isinstance(value.value, Tagged):
        value = value.value
    tag = value.tag if isinstance(value, Tagged) else None
    if tag == MAC0:
        raise EvidenceMalformedError(
            what=what, detail="a COSE_Mac0 proves nothing to whoever does not hold its secret key"
        )
    if tag not in tags:
        expected = " or ".join(sorted("no tag" if item is None else f"tag {item}" for item in tags))
        raise EvidenceMalformedError(what=what, detail=f"it has tag {tag}, expected {expected}")
    parts = value.value if isinstance(value, Tagged) else value
    if not isinstance(parts, list) or len(parts) != _PARTS:
        raise EvidenceMalformedError(what=what, detail="not a COSE_Sign1")
    protected, unprotected, payload, signature = parts
    if not (
        isinstance(protected, bytes)
        and isinstance(unprotected, Mapping)
        and isinstance(payload, bytes)
        and isinstance(signature, bytes)
    ):
        raise EvidenceMalformedError(what=what, detail="not a COSE_Sign1 with its payload")
    header = _protected(protected, what)
    if header.keys() & unprotected.keys() or _CRITICAL in unprotected:
        # RFC 9052, 3: labels must not occur in both, and "crit" must be protected.
        raise EvidenceMalformedError(what=what, detail="its two headers contradict each other")
    algorithm = header.get(_ALGORITHM)
    if algorithm is not None and (not isinstance(algorithm, int) or isinstance(algorithm, bool)):
        raise EvidenceMalformedError(what=what, detail="its algorithm is not a number")
    return Sign1(algorithm, protected, payload, signature)


def _protected(data: bytes, what: str) -> Mapping[CBORValue, CBORValue]:
    """The protected header; an empty one is an empty string (RFC 9052, 3)."""
    if not data:
        return MappingProxyType({})
    header = read_cbor(data, what=f"protected header of {what}")
    if not isinstance(header, Mapping):
        raise EvidenceMalformedError(what=what, detail="its protected header is not a map")
    if _CRITICAL in header:
        raise EvidenceMalformedError(what=what, detail="a critical header is not understood")
    return header


def verify_sign1(
    message: Sign1,
    key: PublicKey,
    *,
    what: str,
    by: str,
    algorithm_implied: bool = False,
) -> None:
    """``key`` signed ``message`` with the algorithm in its protected header.

    That algorithm must be the one of the key's curve: the key decides, never the message.
    ``algorithm_implied`` also accepts a protected header that is empty, and none other
    without an algorithm. Raises ``EvidenceMalformedError`` or ``EvidenceSignatureError``.
    """
    number = message.algorithm
    if number is None and algorithm_implied and not message.protected:
        number = algorithm_of(key)
    algorithm = None if number is None else ALGORITHMS.get(number)
    if algorithm is None:
        raise EvidenceMalformedError(
            what=what, detail=f"signature algorithm {number or 'none'} is not supported"
        )
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, algorithm.curve):
        raise EvidenceMalformedError(
            what=what, detail=f"signature algorithm {algorithm.name} is not that of the key"
        )
    if len(message.signature) != 2 * algorithm.coordinate_bytes:
        raise EvidenceMalformedError(what=what, detail="its signature has a wrong size")
    # RFC 9052, 4.4: Sig_structure = ["Signature1", protected, external_aad, payload].
    signed = cbor2.dumps(["Signature1", message.protected, b"", message.payload])
    verify_raw_ecdsa(key, message.signature, signed, algorithm.digest, what=what, by=by)


def algorithm_of(key: PublicKey) -> int | None:
    """The one algorithm that is accepted of ``key``."""
    for number, algorithm in ALGORITHMS.items():
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, algorithm.curve):
            return number
    return None


@lru_cache(maxsize=_CACHE)
def load_raw_point(data: bytes, *, what: str) -> ec.EllipticCurvePublicKey:
    """An uncompressed point (SEC 1, 2.3.3); its size says on which curve.

    Raises ``EvidenceMalformedError``.
    """
    for algorithm in ALGORITHMS.values():
        if len(data) == 1 + 2 * algorithm.coordinate_bytes and data[0] == _UNCOMPRESSED:
            return _point(algorithm, data[1:], what)
    raise EvidenceMalformedError(what=what, detail="not an uncompressed point")


@lru_cache(maxsize=_CACHE)
def load_cose_key(data: bytes, *, what: str) -> ec.EllipticCurvePublicKey:
    """An EC2 key of RFC 9053, 7.1.1, uncompressed. Raises ``EvidenceMalformedError``."""
    key = read_cbor(data, what=what)
    if not isinstance(key, Mapping) or key.get(_KEY_TYPE) != _EC2:
        raise EvidenceMalformedError(what=what, detail="not a COSE key on an elliptic curve")
    curve, x, y = key.get(_CURVE), key.get(_X), key.get(_Y)
    number = _COSE_CURVES.get(curve) if isinstance(curve, int) else None
    if number is None or not isinstance(x, bytes) or not isinstance(y, bytes):
        raise EvidenceMalformedError(what=what, detail="its curve or point is not supported")
    algorithm = ALGORITHMS[number]
    if key.get(_KEY_ALGORITHM, number) != number:
        raise EvidenceMalformedError(what=what, detail="its algorithm is not that of its curve")
    if {len(x), len(y)} != {algorithm.coordinate_bytes}:
        raise EvidenceMalformedError(what=what, detail="its point has a wrong size")
    return _point(algorithm, x + y, what)


def _point(algorithm: Algorithm, coordinates: bytes, what: str) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(
            algorithm.curve(), bytes((_UNCOMPRESSED,)) + coordinates
        )
    except ValueError as exc:
        raise EvidenceMalformedError(what=what, detail="it is not on its curve") from exc

# SPDX-License-Identifier: Apache-2.0
"""Ed25519 with SHA3-512 instead of SHA-512: the signatures of Sanctum and Keystone.

RFC 8032 names SHA-512 and no library takes another hash, so the curve arithmetic is our own,
and used here alone. Verification handles public values only. Signing is *not* constant-time:
it exists for simulators and tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol, cast

from accord.errors import EvidenceMalformedError, EvidenceSignatureError

KEY_BYTES = 32
SIGNATURE_BYTES = 64

# RFC 8032, 5.1: the field, the group order, the curve constant and the base point's y.
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_1 = pow(2, (_P - 1) // 4, _P)
_BASE = (4 * pow(5, -1, _P) % _P).to_bytes(KEY_BYTES, "little")
_SIGN = 1 << 255

_BASE_WINDOW = 8
_KEY_WINDOW = 5
_CACHE = 64


class _Hash(Protocol):
    def digest(self) -> bytes: ...


HashFunction = Callable[[bytes], _Hash]


class _Point(NamedTuple):
    """Extended coordinates: x = X/Z, y = Y/Z, xy = T/Z (RFC 8032, 5.1.4)."""

    x: int
    y: int
    z: int
    t: int


class _Addend(NamedTuple):
    """A point as it is added: Y + X, Y - X, 2dT, 2Z."""

    plus: int
    minus: int
    t2d: int
    z2: int


_NEUTRAL = _Point(0, 1, 1, 0)


def verify(
    key: bytes,
    signature: bytes,
    message: bytes,
    *,
    what: str,
    by: str,
    hash_function: HashFunction = hashlib.sha3_512,
) -> None:
    """The signature of ``message`` by ``key``, without cofactor as Keystone's own verifier.

    Stricter than it: S must be below the group order, the key canonically encoded and not of
    small order (under such a key one signature fits any message).

    Raises ``EvidenceSignatureError`` or ``EvidenceMalformedError``.
    """
    if len(key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        raise EvidenceMalformedError(what=what, detail="key or signature has the wrong size")
    table = _key_table(key)
    r, s = signature[:KEY_BYTES], int.from_bytes(signature[KEY_BYTES:], "little")
    if table is None:
        raise EvidenceMalformedError(what=by, detail="not a usable Ed25519 key")
    if s >= _L:
        raise EvidenceSignatureError(what=what, expected=by)
    h = int.from_bytes(hash_function(r + key + message).digest(), "little") % _L
    # RFC 8032, 5.1.7: R = [S]B - [h]A; the table holds multiples of -A.
    if _encode(_sum(s, h, table)) != r:
        raise EvidenceSignatureError(what=what, expected=by)


def expand_seed(seed: bytes, *, hash_function: HashFunction = hashlib.sha3_512) -> bytes:
    """The secret key for a seed: clamped scalar and prefix (RFC 8032, 5.1.5)."""
    secret = bytearray(hash_function(seed).digest())
    secret[0] &= 248
    secret[31] &= 63
    secret[31] |= 64
    return bytes(secret)


def public_key(secret: bytes) -> bytes:
    """The public key of an expanded secret key."""
    return _encode(_sum(int.from_bytes(secret[:32], "little") % _L, 0, ()))


def sign(secret: bytes, message: bytes, *, hash_function: HashFunction = hashlib.sha3_512) -> bytes:
    """The deterministic signature by an expanded secret key (RFC 8032, 5.1.6)."""
    scalar, prefix, key = int.from_bytes(secret[:32], "little"), secret[32:], public_key(secret)
    nonce = int.from_bytes(hash_function(prefix + message).digest(), "little") % _L
    r = _encode(_sum(nonce, 0, ()))
    h = int.from_bytes(hash_function(r + key + message).digest(), "little") % _L
    return r + ((nonce + h * scalar) % _L).to_bytes(32, "little")


def _decode(data: bytes) -> _Point | None:
    """The point that ``data`` encodes in the only way it can be (RFC 8032, 5.1.3)."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (_SIGN - 1)
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if v * x * x % _P == -u % _P:
        x = x * _SQRT_MINUS_1 % _P
    if v * x * x % _P != u or (x == 0 and sign):
        return None
    x = _P - x if x & 1 != sign else x
    return _Point(x, y, 1, x * y % _P)


def _encode(point: _Point) -> bytes:
    inverse = pow(point.z, -1, _P)
    x, y = point.x * inverse % _P, point.y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(KEY_BYTES, "little")


def _double(point: _Point) -> _Point:
    x, y, z, _ = point
    a, b = x * x, y * y
    h, g = a + b, a - b
    e = (h - (x + y) * (x + y)) % _P
    f = (2 * z * z + g) % _P
    return _Point(e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _add(point: _Point, other: _Addend) -> _Point:
    x, y, z, t = point
    a, b = (y - x) * other.minus % _P, (y + x) * other.plus % _P
    c, d = t * other.t2d % _P, z * other.z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return _Point(e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _addend(point: _Point) -> _Addend:
    return _Addend(point.y + point.x, point.y - point.x, 2 * _D * point.t % _P, 2 * point.z)


def _minus(other: _Addend) -> _Addend:
    return _Addend(other.minus, other.plus, -other.t2d, other.z2)


def _odd_multiples(point: _Point, window: int) -> tuple[_Addend, ...]:
    """1, 3, 5, ... times ``point``: as many as a window of that width needs."""
    twice, table = _addend(_double(point)), [point]
    while len(table) < 1 << (window - 2):
        table.append(_add(table[-1], twice))
    return tuple(map(_addend, table))


@lru_cache(maxsize=1)
def _base_table() -> tuple[_Addend, ...]:
    return _odd_multiples(cast("_Point", _decode(_BASE)), _BASE_WINDOW)


@lru_cache(maxsize=_CACHE)
def _key_table(key: bytes) -> tuple[_Addend, ...] | None:
    """Multiples of minus the key's point; None for a key that must not be used."""
    point = _decode(key)
    if point is None or _encode(_double(_double(_double(point)))) == _encode(_NEUTRAL):
        return None
    return _odd_multiples(_Point(_P - point.x, point.y, 1, _P - point.t), _KEY_WINDOW)


def _digits(scalar: int, window: int) -> list[int]:
    """Windowed non-adjacent form, lowest first: each digit is zero, or odd and small."""
    digits, modulus = [], 1 << window
    while scalar:
        digit = 0
        if scalar & 1:
            digit = scalar % modulus
            digit -= modulus if digit >> (window - 1) else 0
            scalar -= digit
        digits.append(digit)
        scalar >>= 1
    return digits


def _sum(s: int, h: int, table: tuple[_Addend, ...]) -> _Point:
    """[s]B + [h]Q for the Q of ``table``, with one doubling for both (Strauss and Shamir)."""
    terms = [(_digits(s, _BASE_WINDOW), _base_table()), (_digits(h, _KEY_WINDOW), table)]
    point = _NEUTRAL
    for at in reversed(range(max(len(digits) for digits, _ in terms))):
        point = _double(point)
        for digits, multiples in terms:
            digit = digits[at] if at < len(digits) else 0
            if digit > 0:
                point = _add(point, multiples[digit >> 1])
            elif digit < 0:
                point = _add(point, _minus(multiples[-digit >> 1]))
    return point

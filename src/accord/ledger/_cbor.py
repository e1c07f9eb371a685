# SPDX-License-Identifier: Apache-2.0
"""The deterministic encoding of CBOR (RFC 8949 section 4.2.1), as far as receipts need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accord.encoding import CBORValue, Tagged

_NINT, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(1, 7)
_NULL = b"\xf6"
_DIRECT = 24


def encode_cbor(value: CBORValue) -> bytes:
    """``value``, of numbers, bytes, text, lists, maps, tags and null, in its one encoding."""
    match value:
        case int():
            return _head(0, value) if value >= 0 else _head(_NINT, -1 - value)
        case bytes() | str():
            raw = value if isinstance(value, bytes) else value.encode()
            return _head(_BYTES if value is raw else _TEXT, len(raw)) + raw
        case Tagged():
            return _head(_TAG, value.tag) + encode_cbor(value.value)
        case Mapping():
            pairs = sorted((encode_cbor(key), encode_cbor(item)) for key, item in value.items())
            return _head(_MAP, len(pairs)) + b"".join(key + item for key, item in pairs)
        case Sequence():
            return _head(_ARRAY, len(value)) + b"".join(map(encode_cbor, value))
        case None:
            return _NULL
        case _:
            message = f"no encoding for {type(value).__name__}"
            raise RuntimeError(message)


def _head(major: int, number: int) -> bytes:
    if number < _DIRECT:
        return bytes([major << 5 | number])
    size = next(power for power in range(4) if number >> (8 << power) == 0)
    return bytes([major << 5 | _DIRECT + size]) + number.to_bytes(1 << size, "big")

# SPDX-License-Identifier: Apache-2.0
"""Signed COSE messages and keys, as simulated devices make them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accord.encoding import Digest, base64_encode, canonical_json, sha256
from accord.errors import EncodingError, SimulatorStateError
from accord.testing import _files
from accord.testing._vendor import encode_key, take_key

SIGN1 = 18
Keys = Mapping[str, ec.EllipticCurvePrivateKey]

_ALGORITHMS: Mapping[str, tuple[int, int, hashes.HashAlgorithm]] = {
    "secp256r1": (-7, 1, hashes.SHA256()),
    "secp384r1": (-35, 2, hashes.SHA384()),
    "secp521r1": (-36, 3, hashes.SHA512()),
}


def sign1(
    key: ec.EllipticCurvePrivateKey,
    payload: bytes,
    *,
    header: Mapping[Any, Any] | None = None,
    tag: int | None = SIGN1,
) -> bytes:
    """A COSE_Sign1; ``header`` is its protected header, which names the key's algorithm."""
    number, _, digest = _ALGORITHMS[key.curve.name]
    named = {1: number} if header is None else header
    protected = cbor2.dumps(dict(named)) if named else b""
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    signature = key.sign(signed, ec.ECDSA(digest))
    size = (key.key_size + 7) // 8
    raw = b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(signature))
    message = [protected, {}, payload, raw]
    return cbor2.dumps(message if tag is None else cbor2.CBORTag(tag, message))


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half as a DER SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def spki_digest(key: ec.EllipticCurvePrivateKey) -> Digest:
    """What gets pinned of a bare key."""
    return sha256(spki(key))


def raw_point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half as an uncompressed point."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def cose_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half as a COSE key."""
    number, curve, _ = _ALGORITHMS[key.curve.name]
    point = raw_point(key)[1:]
    half = len(point) // 2
    return cbor2.dumps({1: 2, 3: number, -1: curve, -2: point[:half], -3: point[half:]})


def changed(claims: Mapping[Any, Any], changes: Mapping[Any, Any]) -> dict[Any, Any]:
    """``claims`` with ``changes``; a claim that is changed to None is left out."""
    return {label: value for label, value in {**claims, **changes}.items() if value is not None}


def store_keys(path: Path, schema: str, keys: Keys, **more: bytes) -> None:
    """Writes keys, and more bytes by name, unless the file exists."""
    document = {
        "schema": schema,
        **{name: encode_key(key) for name, key in keys.items()},
        **{name: base64_encode(data) for name, data in more.items()},
    }
    _files.write_once(path, canonical_json(document))


def load_keys(
    path: Path, schema: str, names: tuple[str, ...], more: tuple[str, ...] = (), *, what: str
) -> tuple[Keys, Mapping[str, bytes]]:
    """What `store_keys` wrote. Raises ``SimulatorStateError`` or ``IdentityExposedError``."""
    fields = _files.read_fields(path, what=what)
    try:
        fields.schema(schema)
        keys = {name: take_key(fields, name) for name in names}
        others = {name: fields.data(name) for name in more}
        fields.end()
    except (ValueError, TypeError, EncodingError) as exc:
        raise SimulatorStateError(what=what, path=path, detail=str(exc)) from exc
    return keys, others

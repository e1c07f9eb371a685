# SPDX-License-Identifier: Apache-2.0
"""Who vouches for an Arm device: a key that its maker published, or a chain of certificates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from accord.encoding import Digest, Fields, JSONValue, base64_decode, parse_json, sha256
from accord.errors import AnchorUnknownError, EvidenceMalformedError
from accord.evidence._certificate import load_certificates, load_key
from accord.evidence._chain import chain_expires, check_chain_period, endorsers, verify_chain
from accord.evidence._claims import Endorser
from accord.evidence._cose import load_raw_point
from accord.evidence._signature import PublicKey

MAX_ANCHORS_BYTES = 1 << 20
"""Largest list of trust anchors: about 2,500 devices."""

_CACHE = 64
_COORDINATE_BYTES: Mapping[str, int] = MappingProxyType({"P-256": 32, "P-384": 48, "P-521": 66})
_IMPLEMENTATION_ID_BYTES, _INSTANCE_ID_BYTES = 32, 33


@dataclass(frozen=True, slots=True)
class TrustAnchor:
    """A device's public key, as its maker published it.

    ``digest``, the SHA-256 of its DER SubjectPublicKeyInfo, is what gets pinned. The ids say
    of which device it is, where the maker said so.
    """

    key: PublicKey
    digest: Digest
    implementation_id: bytes | None = None
    instance_id: bytes | None = None

    def is_of(self, implementation_id: bytes, instance_id: bytes) -> bool:
        """Whether it can be that device's; one without ids can be anybody's."""
        return self.implementation_id in {None, implementation_id} and self.instance_id in {
            None,
            instance_id,
        }


@dataclass(frozen=True, slots=True)
class KeyNames:
    """What a family calls its key, and under which names its endorsements travel."""

    what: str
    key: str
    certificate: str
    chain: str = "chain"


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that must have signed a token, and who vouches for it: verified up to ``root``."""

    key: PublicKey
    what: str
    root: Digest
    chain: tuple[Endorser, ...]
    expires: datetime | None


@lru_cache(maxsize=_CACHE)
def read_trust_anchors(data: bytes, *, what: str) -> tuple[TrustAnchor, ...]:
    """Public keys in DER or PEM (SubjectPublicKeyInfo), as JWK, or as a list of trust anchors.

    Such a list has objects with a JWK in ``pkey`` and hex digits in ``instance-id`` and
    ``implementation-id`` (the trust anchor store of veraison's ccatoken). That the keys are
    anybody's is *not* verified: pin what you trust.

    Raises ``EvidenceMalformedError``, ``MalformedError`` or ``TooLargeError``.
    """
    start = data.lstrip()[:1]
    if start == b"{":
        return (_anchor(_read_jwk(Fields(_json(data, what), what), what)),)
    if start == b"[":
        return tuple(_read_entry(item, what) for item in _entries(_json(data, what), what))
    if start == b"-":
        return (_anchor(_read_pem(data, what)),)
    return (_anchor(load_key(data, what=what)),)


def resolve_signer(
    endorsements: Mapping[str, bytes],
    names: KeyNames,
    *,
    implementation_id: bytes,
    instance_id: bytes,
    anchors: Sequence[Digest],
    now: datetime,
) -> Signer:
    """The key of the device with these ids: a pinned one, or one below a pinned root.

    Raises ``EvidenceMalformedError``, ``AnchorUnknownError``, ``ChainInvalidError`` or
    ``EvidenceExpiredError``.
    """
    _check_names(endorsements, names)
    listed = endorsements.get(names.key)
    if listed is None:
        return _certified(endorsements, names, anchors=anchors, now=now)
    known = read_trust_anchors(listed, what=names.what)
    of_device = [item for item in known if item.is_of(implementation_id, instance_id)]
    pinned = [item for item in of_device if item.digest in anchors]
    if not pinned:
        raise AnchorUnknownError(
            what=names.what,
            actual=", ".join(item.digest for item in of_device)
            or f"none for instance {instance_id.hex()}",
            expected=", ".join(anchors) or "none at all",
        )
    found = pinned[0]
    endorser = Endorser(names.what, found.digest, None, None)
    return Signer(found.key, names.what, found.digest, (endorser,), None)


def _check_names(endorsements: Mapping[str, bytes], names: KeyNames) -> None:
    """What nobody reads, such as a revocation list, must not look as if it counted."""
    certificates = {names.certificate, names.chain}
    unknown = endorsements.keys() - certificates - {names.key}
    if unknown:
        raise EvidenceMalformedError(what="endorsements", detail=f"{min(unknown)} is not known")
    if names.key in endorsements and certificates & endorsements.keys():
        raise EvidenceMalformedError(
            what="endorsements", detail=f"{names.key} comes with a certificate: only one counts"
        )


def _certified(
    endorsements: Mapping[str, bytes],
    names: KeyNames,
    *,
    anchors: Sequence[Digest],
    now: datetime,
) -> Signer:
    """The key of the leaf of a chain in PEM or DER; the leaf may come by itself."""
    what = f"certificate chain of the {names.what}"
    present = [
        endorsements[name] for name in (names.certificate, names.chain) if name in endorsements
    ]
    if not present:
        raise EvidenceMalformedError(
            what="endorsements", detail=f"neither {names.key} nor {names.certificate} is there"
        )
    chain = tuple(item for data in present for item in load_certificates(data, what=what))
    root = verify_chain(chain, anchors=anchors, what=what)
    check_chain_period(chain, now)
    if not chain[0].signs_data:
        raise EvidenceMalformedError(what=what, detail="its key may not sign tokens")
    return Signer(chain[0].key, chain[0].what, root.digest, endorsers(chain), chain_expires(chain))


def _anchor(key: PublicKey) -> TrustAnchor:
    return TrustAnchor(
        key, sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    )


def _json(data: bytes, what: str) -> JSONValue:
    return parse_json(data, what=what, limit=MAX_ANCHORS_BYTES)


def _entries(value: JSONValue, what: str) -> list[JSONValue]:
    if not isinstance(value, list) or not value:
        raise EvidenceMalformedError(what=what, detail="it lists no trust anchor")
    return value


def _read_entry(value: JSONValue, what: str) -> TrustAnchor:
    fields = Fields(value, what)
    found = _anchor(_read_jwk(fields.object("pkey"), what))
    ids = {
        "implementation-id": _IMPLEMENTATION_ID_BYTES,
        "instance-id": _INSTANCE_ID_BYTES,
    }
    implementation_id, instance_id = (
        _read_id(fields.text(name), size, what) if fields.has(name) else None
        for name, size in ids.items()
    )
    fields.end()
    return TrustAnchor(found.key, found.digest, implementation_id, instance_id)


def _read_id(text: str, size: int, what: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError as exc:
        raise EvidenceMalformedError(what=what, detail="an id has other than hex digits") from exc
    if len(value) != size:
        raise EvidenceMalformedError(what=what, detail=f"an id has {len(value)} bytes, not {size}")
    return value


def _read_jwk(fields: Fields, what: str) -> ec.EllipticCurvePublicKey:
    """RFC 7518, 6.2.1. A key that can sign is refused: whoever has it can forge tokens."""
    if fields.has("d"):
        raise EvidenceMalformedError(what=what, detail="it is a private key")
    curve = fields.text("crv")
    size = _COORDINATE_BYTES.get(curve)
    if fields.text("kty") != "EC" or size is None:
        raise EvidenceMalformedError(what=what, detail=f"JWK of curve {curve} is not supported")
    coordinates = []
    for name in ("x", "y"):
        text = fields.text(name).translate(_URL_SAFE)
        coordinate = base64_decode(text + "=" * (-len(text) % 4), what=what)
        if len(coordinate) != size:
            raise EvidenceMalformedError(what=what, detail="its point has a wrong size")
        coordinates.append(coordinate)
    return load_raw_point(b"\x04" + b"".join(coordinates), what=what)


_URL_SAFE = str.maketrans("-_", "+/")


def _read_pem(data: bytes, what: str) -> PublicKey:
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise EvidenceMalformedError(what=what, detail="no public key in PEM form") from exc
    return load_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), what=what)

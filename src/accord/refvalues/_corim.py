# SPDX-License-Identifier: Apache-2.0
"""Manifests of reference values: CoRIM (draft-ietf-rats-corim), signed or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import cbor2

from accord.encoding import CBORValue, Digest, Tagged, decode_cbor, format_time, sha256
from accord.errors import (
    MalformedError,
    ManifestExpiredError,
    ManifestSignerError,
    ManifestUnsignedError,
)
from accord.refvalues._keys import SignerKey
from accord.refvalues._profiles import read_tag
from accord.refvalues._values import ReferenceValues

MAX_MANIFEST_BYTES = 1 << 20
"""Largest manifest: that of a whole product line has some 100 KiB."""

_WHAT = "manifest"
_WRAPPED, _UNSIGNED, _SIGNED, _COSE_SIGN1 = 500, 501, 502, 18
_COMID, _URI, _UUID, _OID, _EPOCH = 506, 32, 37, 111, 1
_ID, _TAGS, _DEPENDENT, _PROFILE, _VALIDITY, _ENTITIES = range(6)
_ALG, _CRITICAL, _CONTENT_TYPE, _META = 1, 2, 3, 8
_CONTENT_TYPES = ("application/rim+cbor", "application/corim-unsigned+cbor")
_UUID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Manifest:
    """Reference values of one author. ``signer`` is the digest of the key that signed them.

    It is None where the caller accepted the manifest without a signature.
    """

    name: str
    profile: str
    signer: Digest | None
    values: tuple[ReferenceValues, ...]
    anchors: tuple[Digest, ...]


def import_corim(data: bytes, *, signer: bytes | None, now: datetime) -> Manifest:
    """The reference values in ``data``, signed by the public key ``signer`` (DER or PEM).

    ``signer`` None accepts only a manifest that nobody signed, and says nothing of whose it
    is. Whether its author may vouch for these values is *not* checked.

    Raises ``TooLargeError``, ``MalformedError`` and the errors of family REF.
    """
    # (1) Signed or not, as the caller expects.
    value = _unwrapped(decode_cbor(data, what=_WHAT, limit=MAX_MANIFEST_BYTES))
    vouched: Digest | None = None
    if _is_signed(value):
        if signer is None:
            raise ManifestSignerError(actual="somebody", expected="nobody")
        key = SignerKey.load(signer)
        value = _unwrapped(_verified(value, key, now))
        vouched = sha256(key.spki)
    # (2) The manifest, of a profile that we know, in its time.
    if not isinstance(value, Tagged) or value.tag != _UNSIGNED:
        raise _malformed("expected an unsigned manifest under tag 501")
    fields = _mapping(value.value)
    name = _name(fields.get(_ID))
    if signer is not None and vouched is None:
        raise ManifestUnsignedError(manifest=name)
    if fields.keys() - {_ID, _TAGS, _DEPENDENT, _PROFILE, _VALIDITY, _ENTITIES}:
        raise _malformed("it has fields that are not of CoRIM")
    _check_validity(fields.get(_VALIDITY), now)
    profile = _profile(fields.get(_PROFILE))
    # (3) Its tags.
    tags = fields.get(_TAGS)
    if not isinstance(tags, list) or not tags:
        raise _malformed("it has no tags")
    values: list[ReferenceValues] = []
    anchors: list[Digest] = []
    for tag in tags:
        found, keys = read_tag(_comid(tag), profile)
        values += found
        anchors += keys
    if fields.get(_DEPENDENT) is not None:
        caveat = "it depends on other manifests, which were not looked at"
        values = [_with_caveat(item, caveat) for item in values]
    return Manifest(name, profile, vouched, tuple(values), tuple(dict.fromkeys(anchors)))


def _unwrapped(value: CBORValue) -> CBORValue:
    return value.value if isinstance(value, Tagged) and value.tag == _WRAPPED else value


def _is_signed(value: CBORValue) -> bool:
    return isinstance(value, Tagged) and value.tag in {_SIGNED, _COSE_SIGN1}


def _verified(value: Tagged, key: SignerKey, now: datetime) -> CBORValue:
    """The payload of a COSE_Sign1 (RFC 9052, 4.2), signed by ``key``."""
    inner = value.value
    if value.tag == _SIGNED and isinstance(inner, Tagged) and inner.tag == _COSE_SIGN1:
        inner = inner.value
    match inner:
        case [bytes(protected), dict(), bytes(payload), bytes(signature)]:
            pass
        case _:
            raise _malformed("it is no COSE_Sign1 with its payload inside")
    header = _mapping(decode_cbor(protected, what="header of the manifest"))
    # The key decides the algorithm; a header that says otherwise is refused.
    if header.get(_ALG) != key.algorithm or isinstance(header.get(_ALG), bool):
        raise ManifestSignerError(
            actual=f"algorithm {header.get(_ALG)}", expected=f"algorithm {key.algorithm}"
        )
    if _CRITICAL in header:
        raise _malformed("its header has critical parameters")
    if header.get(_CONTENT_TYPE) not in _CONTENT_TYPES:
        raise _malformed("its header does not say that it holds a manifest")
    key.verify(signature, cbor2.dumps(["Signature1", protected, b"", payload]))
    meta = header.get(_META)
    if meta is not None:
        if not isinstance(meta, bytes):
            raise _malformed("the meta map in its header is not in bytes")
        said = _mapping(decode_cbor(meta, what="meta map of the manifest"))
        _check_validity(said.get(1), now)
    return decode_cbor(payload, what=_WHAT, limit=MAX_MANIFEST_BYTES)


def _name(value: CBORValue) -> str:
    raw = value.value if isinstance(value, Tagged) and value.tag == _UUID else value
    if isinstance(raw, bytes) and len(raw) == _UUID_BYTES:
        return raw.hex()
    if not isinstance(raw, str):
        raise _malformed("it has no id")
    return raw


def _profile(value: CBORValue) -> str:
    """A URI or a dotted OID; empty where there is none."""
    match value:
        case None:
            return ""
        case str() | Tagged(tag=32, value=str()):
            return value.value if isinstance(value, Tagged) else value
        case Tagged(tag=111, value=bytes(oid)):
            return _dotted(oid)
    raise _malformed("its profile is neither URI nor OID")


def _dotted(oid: bytes) -> str:
    """An object identifier (X.690, 8.19)."""
    if not oid or oid[-1] & 0x80:
        raise _malformed("an object identifier is cut")
    arcs, current = [], 0
    for octet in oid:
        current = current << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(current)
            current = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, [first, arcs[0] - 40 * first, *arcs[1:]]))


def _comid(tag: CBORValue) -> Mapping[CBORValue, CBORValue]:
    if not isinstance(tag, Tagged) or tag.tag != _COMID or not isinstance(tag.value, bytes):
        raise _malformed("a tag is no CoMID; only these hold reference values that we know")
    return _mapping(decode_cbor(tag.value, what="CoMID"))


def _check_validity(value: CBORValue, now: datetime) -> None:
    """validity-map: 0 not before, 1 not after, both times under tag 1."""
    if value is None:
        return
    bounds = _mapping(value)
    before, after = (_moment(bounds[key]) if key in bounds else None for key in (0, 1))
    if after is None or bounds.keys() - {0, 1}:
        raise _malformed("its validity is malformed")
    if now > after or (before is not None and now < before):
        raise ManifestExpiredError(
            not_before="any time" if before is None else format_time(before),
            not_after=format_time(after),
            now=format_time(now),
        )


def _moment(value: CBORValue) -> datetime:
    match value:
        case Tagged(tag=1, value=int(seconds)) if not isinstance(seconds, bool):
            try:
                return datetime.fromtimestamp(seconds, UTC)
            except (ValueError, OverflowError, OSError) as exc:
                raise MalformedError(what=_WHAT, detail="a time is beyond all years") from exc
    raise _malformed("a time is malformed")


def _mapping(value: CBORValue) -> dict[CBORValue, CBORValue]:
    if not isinstance(value, dict):
        raise _malformed("expected a map")
    return value


def _with_caveat(item: ReferenceValues, caveat: str) -> ReferenceValues:
    return replace(item, caveats=(*item.caveats, caveat))


def _malformed(detail: str) -> MalformedError:
    return MalformedError(what=_WHAT, detail=detail)

# SPDX-License-Identifier: Apache-2.0
"""NVIDIA reference integrity manifests: a signed SWID tag (ISO/IEC 19770-2, TCG RIM model).

Layout and rules: docs/spec/evidence/nvidia.md, 2.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from accord.errors import EvidenceMalformedError, EvidenceSignatureError
from accord.evidence._certificate import Certificate, parse_certificate
from accord.evidence._signature import verify_raw_ecdsa
from accord.evidence.nvidia._xml import Element, canonicalize, parse_xml

MAX_MANIFEST_BYTES = 256 << 10
"""Largest manifest: twelve times the largest recorded one."""

_SWID = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd"
_SHA384 = "http://www.w3.org/2001/04/xmlenc#sha384"
_DSIG = "http://www.w3.org/2000/09/xmldsig#"
_ENVELOPED = _DSIG + "enveloped-signature"
_CANONICAL = frozenset(
    {"http://www.w3.org/2006/12/xml-c14n11", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"}
)
_SIGNATURES: Mapping[str, hashes.HashAlgorithm] = MappingProxyType(
    {
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384": hashes.SHA384(),
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512": hashes.SHA512(),
    }
)
_DIGESTS: Mapping[str, str] = MappingProxyType(
    {
        "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
        "http://www.w3.org/2001/04/xmlenc#sha384": "sha384",
        "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
    }
)
_MAX_INDEX = 254
_MAX_ALTERNATIVES = 64
_CACHE = 16


@dataclass(frozen=True, slots=True)
class Reference:
    """What one measurement may be: any of ``values``."""

    name: str
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says. ``references`` are the active ones, by the index of the manifest."""

    what: str
    product: str
    version: str
    references: Mapping[int, Reference]


@dataclass(frozen=True, slots=True)
class SignedManifest:
    """A manifest, and the certificates that came with its signature, leaf first."""

    manifest: Manifest
    chain: tuple[Certificate, ...]


def parse_manifest(data: bytes, *, what: str) -> Manifest:
    """What a manifest says, nothing verified. Raises ``EvidenceMalformedError``."""
    return _read(_parse(data, what), what)


def _parse(data: bytes, what: str) -> Element:
    if len(data) > MAX_MANIFEST_BYTES:
        raise EvidenceMalformedError(what=what, detail=f"larger than {MAX_MANIFEST_BYTES} bytes")
    root = parse_xml(data, what=what)
    if (root.namespace, root.local) != (_SWID, "SoftwareIdentity"):
        raise EvidenceMalformedError(what=what, detail="not a SWID tag")
    return root


@lru_cache(maxsize=_CACHE)
def load_manifest(data: bytes, *, what: str) -> SignedManifest:
    """A manifest that the first certificate in it signed, as a whole (XML-DSig 1.1).

    Whether that certificate is trusted, or valid, is *not* checked.

    Raises ``EvidenceMalformedError`` or ``EvidenceSignatureError``.
    """
    root = _parse(data, what)
    # (a) One signature, right below the root, so that nothing else can be meant by "enveloped".
    signature = _only(root, "Signature", what)
    if len(_descendants(root, "Signature")) != 1:
        raise EvidenceMalformedError(what=what, detail="it has more than one signature")
    info = _only(signature, "SignedInfo", what)
    # (b) It covers the document without itself, in canonical form, and nothing else.
    _check_algorithm(_only(info, "CanonicalizationMethod", what), _CANONICAL, what)
    reference = _only(info, "Reference", what)
    transforms = [_algorithm(item) for item in _only(reference, "Transforms", what).elements()]
    if (
        reference.get("URI") != ""
        or transforms[:1] != [_ENVELOPED]
        or not _CANONICAL.issuperset(transforms[1:])
    ):
        raise EvidenceMalformedError(what=what, detail="its signature covers something else")
    method = _algorithm(_only(reference, "DigestMethod", what))
    if method not in _DIGESTS:
        raise EvidenceMalformedError(what=what, detail=f"digest method {method} is not supported")
    digest = hashlib.new(_DIGESTS[method], canonicalize(root, without=signature)).digest()
    if not hmac.compare_digest(digest, _base64(_only(reference, "DigestValue", what), what)):
        raise EvidenceSignatureError(what=what, expected="its own signature (digests differ)")
    # (c) The key of the first certificate signed that.
    chain = _certificates(signature, what)
    _verify(signature, canonicalize(info, ancestors=(root, signature)), chain[0], what)
    return SignedManifest(_read(root, what), chain)


def _verify(signature: Element, signed: bytes, signer: Certificate, what: str) -> None:
    method = _algorithm(_only(_only(signature, "SignedInfo", what), "SignatureMethod", what))
    key, value = signer.key, _base64(_only(signature, "SignatureValue", what), what)
    if method not in _SIGNATURES or not isinstance(key, ec.EllipticCurvePublicKey):
        raise EvidenceMalformedError(
            what=what, detail=f"signature method {method} is not supported"
        )
    if len(value) != 2 * ((key.key_size + 7) // 8):
        raise EvidenceSignatureError(what=what, expected=signer.what)
    verify_raw_ecdsa(key, value, signed, _SIGNATURES[method], what=what, by=signer.what)


def _certificates(signature: Element, what: str) -> tuple[Certificate, ...]:
    data = _only(_only(signature, "KeyInfo", what), "X509Data", what)
    found = tuple(
        parse_certificate(_base64(item, what), what=what)
        for item in data.elements()
        if (item.namespace, item.local) == (_DSIG, "X509Certificate")
    )
    if not found:
        raise EvidenceMalformedError(what=what, detail="it carries no certificate")
    return found


def _only(parent: Element, local: str, what: str) -> Element:
    """The only child of ``parent`` of that name in the namespace of signatures."""
    found = [item for item in parent.elements() if (item.namespace, item.local) == (_DSIG, local)]
    if len(found) != 1:
        raise EvidenceMalformedError(what=what, detail=f"{len(found)} elements {local}, expected 1")
    return found[0]


def _descendants(element: Element, local: str) -> list[Element]:
    found = [element] if (element.namespace, element.local) == (_DSIG, local) else []
    for child in element.elements():
        found += _descendants(child, local)
    return found


def _algorithm(element: Element) -> str:
    """An algorithm without parameters; with any, it is another one that we do not know."""
    return (element.get("Algorithm") or "") if not element.elements() else ""


def _check_algorithm(element: Element, known: frozenset[str], what: str) -> None:
    if _algorithm(element) not in known:
        raise EvidenceMalformedError(what=what, detail=f"{element.local} is not supported")


def _base64(element: Element, what: str) -> bytes:
    try:
        return base64.b64decode("".join(element.text().split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise EvidenceMalformedError(what=what, detail=f"{element.local} is not base64") from exc


def _read(root: Element, what: str) -> Manifest:
    """Product and version from the only Meta element, references from the only Payload."""
    meta, payload = (
        [item for item in root.elements() if (item.namespace, item.local) == (_SWID, local)]
        for local in ("Meta", "Payload")
    )
    if len(meta) != 1 or len(payload) != 1:
        raise EvidenceMalformedError(what=what, detail="not one Meta and one Payload element")
    product = meta[0].get("product") or root.get("name")
    version = meta[0].get("colloquialVersion")
    if not product or not version:
        raise EvidenceMalformedError(what=what, detail="it names no product or no version")
    references: dict[int, Reference] = {}
    for item in payload[0].elements():
        # What a resource of another kind demands is not known, so it cannot be left out.
        if (item.namespace, item.local, item.get("type")) != (_SWID, "Resource", "Measurement"):
            raise EvidenceMalformedError(what=what, detail="it has resources of another kind")
        index, active = _number(item, "index", _MAX_INDEX, what), item.get("active")
        if active not in {"True", "False"}:
            raise EvidenceMalformedError(what=what, detail=f"measurement {index} is half active")
        if active == "True":
            if index in references:
                raise EvidenceMalformedError(what=what, detail=f"measurement {index} comes twice")
            references[index] = _reference(item, what)
    return Manifest(what, product, version, MappingProxyType(references))


def _reference(item: Element, what: str) -> Reference:
    size = _number(item, "size", MAX_MANIFEST_BYTES, what)
    values = []
    for number in range(_number(item, "alternatives", _MAX_ALTERNATIVES, what)):
        written = item.get(f"Hash{number}", _SHA384) or ""
        try:
            value = bytes.fromhex(written)
        except ValueError as exc:
            raise EvidenceMalformedError(what=what, detail="a digest is not hex") from exc
        if len(value) != size or not size:
            raise EvidenceMalformedError(what=what, detail="a digest has not the size it says")
        values.append(value)
    return Reference(item.get("name") or "", tuple(values))


def _number(item: Element, name: str, most: int, what: str) -> int:
    text = item.get(name) or ""
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)) or int(text) > most:
        raise EvidenceMalformedError(what=what, detail=f"{name} is {text!r}")
    return int(text)

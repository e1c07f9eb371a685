# SPDX-License-Identifier: Apache-2.0
"""PSA and CCA tokens, the trust anchors of their devices, and the CBOR and COSE below."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec

from accord.evidence import Evidence
from accord.evidence._cbor import read_cbor
from accord.evidence._cose import load_cose_key, parse_sign1
from accord.evidence.arm import read_trust_anchors, verify_cca, verify_psa
from accord.policy import Family
from accord.testing._cose import sign1, spki, spki_digest

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_KEY = ec.derive_private_key(1234567, ec.SECP256R1())
_ANCHORS = (spki_digest(_KEY),)
_ENDORSEMENTS = {"iak": spki(_KEY), "cpak": spki(_KEY)}


def _psa(data: bytes) -> None:
    verify_psa(Evidence(Family.PSA, data, _ENDORSEMENTS), anchors=_ANCHORS, now=_NOW)


def _psa_claims(data: bytes) -> None:
    """Claims of a device whose key is pinned: the parser is reached behind a good signature."""
    _psa(sign1(_KEY, data))


def _cca(data: bytes) -> None:
    verify_cca(Evidence(Family.CCA, data, _ENDORSEMENTS), anchors=_ANCHORS, now=_NOW)


TARGETS: dict[str, Callable[[bytes], object]] = {
    "cbor": lambda data: read_cbor(data, what="fuzz"),
    "cose": lambda data: parse_sign1(data, what="fuzz", tags=frozenset({18, None})),
    "cose-key": lambda data: load_cose_key(data, what="fuzz"),
    "psa": _psa,
    "psa-claims": _psa_claims,
    "cca": _cca,
    "arm-anchors": lambda data: read_trust_anchors(data, what="fuzz"),
}

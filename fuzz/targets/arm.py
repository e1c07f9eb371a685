# SPDX-License-Identifier: Apache-2.0
"""PSA and CCA tokens, the trust anchors of their devices, and the CBOR and COSE below."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import zip_longest

from cryptography.hazmat.primitives.asymmetric import ec

from accord.errors import EvidenceMalformedError
from accord.evidence import Evidence
from accord.evidence._cose import load_cose_key, parse_sign1
from accord.evidence.arm import read_trust_anchors, verify_cca, verify_psa
from accord.policy import Family
from accord.testing._cose import sign1, spki, spki_digest

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_KEY = ec.derive_private_key(1234567, ec.SECP256R1())
_ANCHORS = (spki_digest(_KEY),)
_SPKI = spki(_KEY)
_ENDORSEMENTS = {"iak": _SPKI, "cpak": _SPKI}


def _psa(data: bytes) -> None:
    verify_psa(Evidence(Family.PSA, data, _ENDORSEMENTS), anchors=_ANCHORS, now=_NOW)


def _psa_claims(data: bytes) -> None:
    """Claims of a device whose key is pinned: the parser is reached behind a good signature."""
    _psa(sign1(_KEY, data))


def _cca(data: bytes) -> None:
    verify_cca(Evidence(Family.CCA, data, _ENDORSEMENTS), anchors=_ANCHORS, now=_NOW)


def _key(data: bytes) -> None:
    """A published key (`iak`, `cpak`) with some bytes flipped, in DER and in PEM."""
    der = bytes(ours ^ theirs for ours, theirs in zip_longest(_SPKI, data, fillvalue=0))
    pem = b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(der) + b"-----END PUBLIC KEY-----\n"
    for form in (der, pem):
        with suppress(EvidenceMalformedError):
            read_trust_anchors(form, what="fuzz")


TARGETS: dict[str, Callable[[bytes], object]] = {
    "cose": lambda data: parse_sign1(data, what="fuzz", tags=frozenset({18, None})),
    "cose-key": lambda data: load_cose_key(data, what="fuzz"),
    "psa": _psa,
    "psa-claims": _psa_claims,
    "cca": _cca,
    "arm-key": _key,
    "arm-anchors": lambda data: read_trust_anchors(data, what="fuzz"),
}

# SPDX-License-Identifier: Apache-2.0
"""Who vouches for an attestation key: a certificate below a pinned root, or its pinned digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from accord.encoding import Digest, sha256
from accord.errors import AnchorUnknownError, EnvironmentRefusedError, EvidenceMalformedError
from accord.evidence._certificate import (
    Certificate,
    load_certificates,
    load_key,
    parse_certificate,
    split_pem,
)
from accord.evidence._chain import check_chain_period, verify_chain
from accord.evidence._der import dotted, sequence
from accord.evidence._evidence import Evidence
from accord.evidence._signature import PublicKey
from accord.evidence.tpm._structures import SIGNING_KEY, Public, parse_public, spki_of

EK_PURPOSE: Final = "2.23.133.8.1"
"""tcg-kp-EKCertificate (TCG EK Credential Profile 2.5, 3.2)."""

AK_PURPOSE: Final = "2.23.133.8.3"
"""tcg-kp-AIKCertificate."""

_EXTENDED_KEY_USAGE = "2.5.29.37"
_ALTERNATIVE_NAME = "2.5.29.17"
_UNDERSTOOD = frozenset({_ALTERNATIVE_NAME})
"""Critical where the subject is empty: it names maker, model and version of the TPM."""

_KEY: Final = "attestation key"
_CERTIFICATE: Final = "AK certificate"


@dataclass(frozen=True, slots=True)
class AttestationKey:
    """A key that an anchor vouches for. ``chain`` is empty where the key itself is the anchor."""

    key: PublicKey
    spki: bytes
    root: Digest
    chain: tuple[Certificate, ...]

    @property
    def issuer(self) -> str:
        """The common name of the CA that issued its certificate, or nothing."""
        return self.chain[1].what if len(self.chain) > 1 else ""


def read_key(aux: Mapping[str, bytes]) -> tuple[PublicKey, bytes, Public | None]:
    """The attestation key in ``aux``, its DER SubjectPublicKeyInfo, and its TPMT_PUBLIC.

    One of ``ak_public`` and ``ak_spki`` must be there. Nothing vouches for it yet, nor for
    the attributes that it gives itself. Raises ``EvidenceMalformedError``.
    """
    if ("ak_public" in aux) == ("ak_spki" in aux):
        raise EvidenceMalformedError(what=_KEY, detail="expected one of ak_public and ak_spki")
    if "ak_public" in aux:
        public = parse_public(aux["ak_public"], what=_KEY)
        return public.key, public.spki, public
    key = load_key(aux["ak_spki"], what=_KEY)
    return key, spki_of(key), None


def vouched_key(evidence: Evidence, *, anchors: Sequence[Digest], now: datetime) -> AttestationKey:
    """The attestation key, if one of ``anchors`` vouches for it at ``now``.

    The anchor is the SHA-256 of the key itself: whoever pinned it has made sure that it lives
    in a TPM and is restricted (`AKEnrolment`). Or it is the root of the chain of
    ``ak_certificate``, which says that it is of an attestation key, unless it is an anchor by
    itself. ``ak_public`` is the key's own word: it can show that a key is unfit, never that it
    is fit.

    Raises ``EnvironmentRefusedError``, ``AnchorUnknownError``, ``ChainInvalidError``,
    ``EvidenceExpiredError`` or ``EvidenceMalformedError``.
    """
    key, spki, public = read_key(evidence.aux)
    if public is not None and not public.attests:
        raise EnvironmentRefusedError(
            field="attributes of the attestation key",
            actual=f"{public.attributes:08x}",
            expected=SIGNING_KEY,
        )
    # Who pinned the key itself needs no certificate's word, nor the root that issued one.
    if "ak_certificate" not in evidence.endorsements or sha256(spki) in anchors:
        return AttestationKey(key, spki, _pinned(spki, anchors), ())
    chain = load_chain(evidence.endorsements, "ak_certificate", "ak_chain", what=_CERTIFICATE)
    if spki_of(chain[0].key) != spki:
        raise EvidenceMalformedError(what=_CERTIFICATE, detail="it is of another key")
    root = verify_chain(chain, anchors=anchors, what=_CERTIFICATE, understood=_UNDERSTOOD)
    check_chain_period(chain, now)
    # Some CAs mark the certificates of both kinds of keys as of EKs; an EK cannot sign. A CA
    # that marks neither may issue for anything: of its certificates the very one is pinned.
    demanded = chain[0].digest not in anchors
    check_purpose(chain[0], {AK_PURPOSE, EK_PURPOSE}, what=_CERTIFICATE, demanded=demanded)
    if not chain[0].signs_data:
        raise EvidenceMalformedError(what=_CERTIFICATE, detail="its key may not sign")
    return AttestationKey(key, spki, root.digest, chain)


def _pinned(spki: bytes, anchors: Sequence[Digest]) -> Digest:
    digest = sha256(spki)
    if digest not in anchors:
        expected = ", ".join(anchors) or "none at all"
        raise AnchorUnknownError(what=_KEY, actual=digest, expected=expected)
    return digest


def load_chain(
    files: Mapping[str, bytes], leaf: str, above: str, *, what: str
) -> tuple[Certificate, ...]:
    """The certificate in ``files[leaf]`` (DER or PEM) and those in ``files[above]`` (PEM).

    A certificate in an NV index may be followed by padding, which is left aside.
    """
    first = load_certificates(without_padding(files[leaf]), what=what)
    if len(first) != 1:
        raise EvidenceMalformedError(what=what, detail=f"{leaf} holds {len(first)} certificates")
    pem = split_pem(files[above], what=what) if above in files else []
    return (*first, *(parse_certificate(der, what=what) for der in pem))


def without_padding(data: bytes) -> bytes:
    """``data`` without what follows its DER element, where that is zeros or 0xFF alone."""
    if data[:2] != b"\x30\x82":
        return data
    end = 4 + int.from_bytes(data[2:4], "big")
    return data[:end] if data[end:] and not data[end:].strip(data[end : end + 1]) else data


def check_purpose(
    certificate: Certificate, purposes: set[str], *, what: str, demanded: bool
) -> None:
    """That an extended key usage names one of ``purposes``; unless demanded, it may be missing.

    Raises ``EvidenceMalformedError``.
    """
    value = certificate.extensions.get(_EXTENDED_KEY_USAGE)
    named = [] if value is None else [dotted(item.value) for item in sequence(value, what=what)]
    if (value is not None or demanded) and not purposes.intersection(named):
        expected = " or ".join(sorted(purposes))
        raise EvidenceMalformedError(what=what, detail=f"its purpose is not {expected}")
    if certificate.is_ca:
        raise EvidenceMalformedError(what=what, detail="it is a CA's")

# SPDX-License-Identifier: Apache-2.0
"""What Intel vouches for: steps that SGX and TDX share (docs/spec/evidence/intel.md, 5)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from accord.encoding import Digest
from accord.errors import (
    ChainInvalidError,
    CollateralMismatchError,
    EvidenceMalformedError,
    EvidenceSignatureError,
)
from accord.evidence._certificate import Certificate
from accord.evidence._chain import (
    check_not_revoked,
    check_period,
    endorsers,
    load_revocation_list,
)
from accord.evidence._claims import TCB
from accord.evidence._signature import verify_raw_ecdsa
from accord.evidence.intel._chains import (
    PCK_CHAIN,
    PCK_CRL_CHAIN,
    QE_IDENTITY_CHAIN,
    TCB_INFO_CHAIN,
    find_chain,
    p256_key,
    read_certificates,
)
from accord.evidence.intel._claims import Verdict
from accord.evidence.intel._collateral import Collateral
from accord.evidence.intel._import import list_der
from accord.evidence.intel._pck import PCK_EXTENSION, PCKExtension, parse_pck_extension
from accord.evidence.intel._quote import PCK_CHAIN as TYPE_PCK_CHAIN
from accord.evidence.intel._quote import SGX, Quote
from accord.evidence.intel._tcb import (
    QEIdentity,
    Status,
    TCBInfo,
    parse_qe_identity,
    parse_tcb_info,
)

_CACHE = 64
_SHA256 = SHA256()

Period = tuple[str, datetime, datetime]
"""What is valid, from when, until when."""


@dataclass(frozen=True, slots=True)
class Endorsed:
    """What signatures vouch for, with every period within which they do."""

    chain: tuple[Certificate, ...]
    platform: PCKExtension
    tcb_info: TCBInfo
    qe_identity: QEIdentity
    periods: tuple[Period, ...]

    def verdict(self, status: Status) -> Verdict:
        """With ``status``, all that claims say of the vendor.

        The evaluation number is the lower of the two documents': the age of the older one.
        """
        number = min(self.tcb_info.evaluation_number, self.qe_identity.evaluation_number)
        return Verdict(
            endorsers(self.chain),
            self.platform,
            TCB(status.status, status.advisories, number),
            expires=min(not_after for _, _, not_after in self.periods),
        )


@dataclass(frozen=True, slots=True)
class Sources:
    """The certificates that came with a quote and its collateral, and the pinned roots in it."""

    pck: tuple[Certificate, ...]
    crl: tuple[Certificate, ...]
    tcb: tuple[Certificate, ...]
    qe: tuple[Certificate, ...]
    roots: tuple[Certificate, ...]

    @classmethod
    def read(cls, pck: bytes, collateral: Collateral, anchors: Sequence[Digest]) -> Sources:
        """Raises ``EvidenceMalformedError``."""
        crl_chain = _octets(collateral.pck_crl_issuer_chain)
        sources = (
            read_certificates(pck),
            read_certificates(crl_chain) if crl_chain else (),
            read_certificates(_octets(collateral.tcb_info_issuer_chain)),
            read_certificates(_octets(collateral.qe_identity_issuer_chain)),
        )
        pinned = {item.digest: item for source in sources for item in source}
        return cls(*sources, roots=tuple(pinned[one] for one in anchors if one in pinned))


class Chains(NamedTuple):
    """Verified chains, leaf first: each of its role, all up to the same pinned root.

    ``crl`` is the part of ``pck`` from the CA on where the list has no chain of its own.
    """

    pck: tuple[Certificate, ...]
    crl: tuple[Certificate, ...]
    tcb: tuple[Certificate, ...]
    qe: tuple[Certificate, ...]


def find_chains(pck: bytes, collateral: Collateral, anchors: Sequence[Digest]) -> Chains:
    """Step (2); ``pck`` is what `pck_chain` returns.

    Raises ``ChainInvalidError`` or ``AnchorUnknownError``.
    """
    # (2) Four chains, each to a root that is pinned by its bytes, and all to the same root.
    found = Sources.read(pck, collateral, anchors)
    chain = find_chain(found.pck, PCK_CHAIN, roots=found.roots, anchors=anchors)
    _, ca, root = chain
    same = {"roots": (root,), "anchors": (root.digest,)}
    # Without a chain of its own, the list is of the CA that issued the PCK certificate.
    crl = find_chain(found.crl, PCK_CRL_CHAIN, **same) if found.crl else chain[1:]  # type: ignore[arg-type]
    tcb = find_chain(found.tcb, TCB_INFO_CHAIN, **same)  # type: ignore[arg-type]
    qe = find_chain(found.qe, QE_IDENTITY_CHAIN, **same)  # type: ignore[arg-type]
    if (ca.subject, ca.spki) != (crl[0].subject, crl[0].spki):
        raise ChainInvalidError(what=PCK_CRL_CHAIN.what, detail="it is of another PCK CA")
    return Chains(chain, crl, tcb, qe)


def verify_endorsements(
    quote: Quote, collateral: Collateral, *, anchors: Sequence[Digest], now: datetime
) -> Endorsed:
    """Steps (2) to (6). Raises the errors of family ATT."""
    chain, tee_type = pck_chain(quote, collateral), quote.header.tee_type
    endorsed = _verify_endorsements(chain, collateral, tee_type, tuple(anchors))
    # (5) All of it is valid now.
    for what, not_before, not_after in endorsed.periods:
        check_period(what, not_before, not_after, now)
    return endorsed


@lru_cache(maxsize=_CACHE)  # What is refused does not stay: only anchors' words do.
def _verify_endorsements(
    pck: bytes, collateral: Collateral, tee_type: int, anchors: tuple[Digest, ...]
) -> Endorsed:
    """Everything but the time: one platform sends the same documents for weeks."""
    chains = find_chains(pck, collateral, anchors)
    leaf, ca, root = chains.pck
    crl_ca, signer, qe_signer = chains.crl[0], chains.tcb[0], chains.qe[0]
    # (3) Nobody in a chain is revoked, by lists that root and PCK CA signed.
    root_list = load_revocation_list(list_der(collateral.root_ca_crl), root)
    pck_list = load_revocation_list(list_der(collateral.pck_crl), crl_ca)
    for issued in (ca, crl_ca, signer, qe_signer):
        check_not_revoked(issued, root_list)
    check_not_revoked(leaf, pck_list)
    # (4) TCB info and QE identity are signed by TCB signers; only then are they parsed.
    _verify_text(collateral.tcb_info, collateral.tcb_info_signature, signer, "TCB info")
    tcb_info = parse_tcb_info(collateral.tcb_info)
    _verify_text(collateral.qe_identity, collateral.qe_identity_signature, qe_signer, "QE identity")
    qe_identity = parse_qe_identity(collateral.qe_identity)
    _check_tee(tee_type, tcb_info, qe_identity)
    periods = tuple(
        (item.what, item.not_before, item.not_after)
        for item in (leaf, ca, root, crl_ca, signer, qe_signer, root_list, pck_list)
    )
    periods += (
        ("TCB info", tcb_info.not_before, tcb_info.not_after),
        ("QE identity", qe_identity.not_before, qe_identity.not_after),
    )
    # (6) The PCK certificate says which platform it is.
    return Endorsed(chains.pck, read_platform(leaf), tcb_info, qe_identity, periods)


def read_platform(pck: Certificate) -> PCKExtension:
    """Raises ``EvidenceMalformedError``."""
    extension = pck.extensions.get(PCK_EXTENSION)
    if extension is None:
        raise EvidenceMalformedError(what=pck.what, detail="it names no platform")
    return parse_pck_extension(extension)


def carries_chain(quote: Quote) -> bool:
    """Whether the PCK chain is in the quote itself, in PEM: one of Intel's samples has DER."""
    return quote.certification_type == TYPE_PCK_CHAIN and b"-----BEGIN" in quote.certification_data


def pck_chain(quote: Quote, collateral: Collateral) -> bytes:
    """The chain in the quote, or beside it where the quote only says which one (A.3.9).

    Raises ``EvidenceMalformedError`` where it is in neither.
    """
    if carries_chain(quote):
        return quote.certification_data
    if collateral.pck_certificate_chain is not None:
        return _octets(collateral.pck_certificate_chain)
    detail = (
        f"the quote has no PEM (certification data of type {quote.certification_type}), "
        "and pck_certificate_chain is missing"
    )
    raise EvidenceMalformedError(what=PCK_CHAIN.what, detail=detail)


def _check_tee(tee_type: int, tcb_info: TCBInfo, qe_identity: QEIdentity) -> None:
    tee, enclave = ("SGX", "QE") if tee_type == SGX else ("TDX", "TD_QE")
    if tcb_info.tee != tee:
        raise CollateralMismatchError(field="TEE", actual=tee, expected=tcb_info.tee)
    if qe_identity.enclave != enclave:
        raise CollateralMismatchError(
            field="quoting enclave", actual=enclave, expected=qe_identity.enclave
        )


def _octets(text: str) -> bytes:
    """What was signed; text that is no UTF-8 becomes bytes that nobody signed."""
    return text.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=_CACHE)
def _verify_text(text: str, signature: bytes, signer: Certificate, what: str) -> None:
    key = p256_key(signer)
    verify_raw_ecdsa(key, signature, _octets(text), _SHA256, what=what, by=signer.what)


def verify_quote_signatures(quote: Quote, pck: Certificate) -> None:
    """Steps (7) to (9). Raises ``EvidenceSignatureError`` or ``EvidenceMalformedError``."""
    # (7) The platform's PCK key signed the quoting enclave's report.
    _verify_qe_report(quote.qe_report_bytes, quote.qe_signature, pck)
    # (8) That report vouches for the attestation key (A.3.8): SHA-256 of key and auth data.
    vouched = hashlib.sha256(quote.attestation_key + quote.qe_auth_data).digest() + bytes(32)
    if not hmac.compare_digest(vouched, quote.qe_report.report_data):
        raise EvidenceSignatureError(
            what="attestation key", expected="the quoting enclave (report data differ)"
        )
    # (9) The attestation key signed header and report.
    verify_raw_ecdsa(
        _attestation_key(quote.attestation_key),
        quote.signature,
        quote.signed,
        _SHA256,
        what="quote",
        by="the attestation key it carries",
    )


@lru_cache(maxsize=_CACHE)
def _verify_qe_report(report: bytes, signature: bytes, pck: Certificate) -> None:
    verify_raw_ecdsa(p256_key(pck), signature, report, _SHA256, what="QE report", by=pck.what)


@lru_cache(maxsize=_CACHE)
def _attestation_key(raw: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + raw)
    except ValueError as exc:
        raise EvidenceMalformedError(what="attestation key", detail="not on P-256") from exc

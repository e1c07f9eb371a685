# SPDX-License-Identifier: Apache-2.0
"""Verification of an Intel TDX quote (docs/spec/evidence.md, 6)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric import ec

from accord.encoding import Digest
from accord.errors import (
    AnchorUnknownError,
    ChainInvalidError,
    DebugRefusedError,
    EnvironmentRefusedError,
    EvidenceMalformedError,
    EvidenceSignatureError,
    TCBRefusedError,
)
from accord.evidence._claims import TCB, Claims, Verified
from accord.evidence._evidence import Evidence
from accord.evidence._roots import root_kind
from accord.evidence.intel._collateral import Collateral
from accord.evidence.intel._pck import PCKExtension, parse_pck_extension
from accord.evidence.intel._quote import Quote, TDReport, parse_quote
from accord.evidence.intel._tcb import (
    QEIdentity,
    Status,
    TCBInfo,
    evaluate_platform,
    evaluate_qe,
    join,
    parse_qe_identity,
    parse_tcb_info,
)
from accord.evidence.intel._x509 import (
    PCK_CHAIN,
    PCK_CRL_CHAIN,
    QE_IDENTITY_CHAIN,
    TCB_INFO_CHAIN,
    Certificate,
    ChainProfile,
    check_not_revoked,
    check_period,
    load_chain,
    load_revocation_list,
    verify_signature,
)
from accord.policy import Family

_CACHE = 64
_TUD = 0xFF  # bits 7:0 of the TD attributes, "TD under debug"; bit 0 is DEBUG
_SEPT_VE_DISABLE = 1 << 28
_PKS = 1 << 30

Period = tuple[str, datetime, datetime]
"""What is valid, from when, until when."""


@dataclass(frozen=True, slots=True)
class _Verified:
    """What signatures vouch for, with every period within which they do."""

    pck: Certificate
    platform: PCKExtension
    root: Digest
    tcb_info: TCBInfo
    qe_identity: QEIdentity
    periods: tuple[Period, ...]


def parse_tdx(evidence: Evidence) -> Quote:
    """The quote in ``evidence``, nothing verified. Raises ``EvidenceMalformedError``."""
    return parse_quote(evidence.blob)


def verify_tdx(evidence: Evidence, *, anchors: Sequence[Digest], now: datetime) -> Verified:
    """The claims of a TDX quote and its report data, which is *not* compared here.

    Raises the errors of family ATT.
    """
    # (1) The bytes are a quote whose lengths add up.
    quote = parse_quote(evidence.blob)
    collateral = Collateral.from_endorsements(evidence.endorsements)
    # (2) to (6) Endorsements: chains, roots, revocation, TCB info, QE identity, periods.
    endorsed = _verify_endorsements(quote.pck_chain, collateral, anchors=anchors, now=now)
    # (7) to (9) The quote is signed by a key that a genuine quoting enclave vouches for.
    _verify_quote_signatures(quote, endorsed.pck)
    # (10) The environment is not weakened by how it was started.
    _check_attributes(quote.report)
    # (11) The state of platform, TDX module and quoting enclave.
    status = join(
        evaluate_platform(quote.report, endorsed.platform, endorsed.tcb_info),
        evaluate_qe(quote.qe_report, endorsed.qe_identity),
    )
    return Verified(
        _claims(quote.report, status, endorsed),
        MappingProxyType({"report_data": quote.report.report_data}),
    )


def _verify_endorsements(
    pck_chain: bytes, collateral: Collateral, *, anchors: Sequence[Digest], now: datetime
) -> _Verified:
    """Steps (2) to (6) of docs/spec/evidence.md, 6."""
    # (2) Four chains, each to a root that is pinned by its bytes, and all to the same root.
    pck, ca, root = _anchored(pck_chain, PCK_CHAIN, anchors)
    crl_ca, _ = _anchored(_octets(collateral.pck_crl_issuer_chain), PCK_CRL_CHAIN, (root.digest,))
    signer, _ = _anchored(_octets(collateral.tcb_info_issuer_chain), TCB_INFO_CHAIN, (root.digest,))
    qe_signer, _ = _anchored(
        _octets(collateral.qe_identity_issuer_chain), QE_IDENTITY_CHAIN, (root.digest,)
    )
    if (ca.subject, ca.key) != (crl_ca.subject, crl_ca.key):
        raise ChainInvalidError(what=PCK_CRL_CHAIN.what, detail="it is of another PCK CA")
    # (3) Nobody in a chain is revoked, by lists that root and PCK CA signed.
    root_list = load_revocation_list(collateral.root_ca_crl, root)
    pck_list = load_revocation_list(collateral.pck_crl, crl_ca)
    for issued in (ca, crl_ca, signer, qe_signer):
        check_not_revoked(issued, root_list)
    check_not_revoked(pck, pck_list)
    # (4) TCB info and QE identity are signed by TCB signers; only then are they parsed.
    _verify_text(collateral.tcb_info, collateral.tcb_info_signature, signer, "TCB info")
    tcb_info = parse_tcb_info(collateral.tcb_info)
    _verify_text(collateral.qe_identity, collateral.qe_identity_signature, qe_signer, "QE identity")
    qe_identity = parse_qe_identity(collateral.qe_identity)
    # (5) All of it is valid now.
    periods = tuple(
        (item.what, item.not_before, item.not_after)
        for item in (pck, ca, root, crl_ca, signer, qe_signer, root_list, pck_list)
    )
    periods += (
        ("TCB info", tcb_info.not_before, tcb_info.not_after),
        ("QE identity", qe_identity.not_before, qe_identity.not_after),
    )
    for what, not_before, not_after in periods:
        check_period(what, not_before, not_after, now)
    # (6) The PCK certificate says which platform it is.
    if pck.pck_extension is None:
        raise EvidenceMalformedError(what=pck.what, detail="it names no platform")
    platform = parse_pck_extension(pck.pck_extension)
    return _Verified(pck, platform, root.digest, tcb_info, qe_identity, periods)


def _anchored(
    pem: bytes, profile: ChainProfile, anchors: Sequence[Digest]
) -> tuple[Certificate, ...]:
    """A valid chain whose root is one of ``anchors``, by the SHA-256 of its DER."""
    chain = load_chain(pem, profile)
    if chain[-1].digest not in anchors:
        expected = ", ".join(anchors) or "none at all"
        raise AnchorUnknownError(what=profile.what, actual=chain[-1].digest, expected=expected)
    return chain


def _octets(text: str) -> bytes:
    """What was signed; text that is no UTF-8 becomes bytes that nobody signed."""
    return text.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=_CACHE)
def _verify_text(text: str, signature: bytes, signer: Certificate, what: str) -> None:
    verify_signature(signer.key, signature, _octets(text), what=what, by=signer.what)


def _verify_quote_signatures(quote: Quote, pck: Certificate) -> None:
    """Steps (7) to (9) of docs/spec/evidence.md, 6."""
    # (7) The platform's PCK key signed the quoting enclave's report.
    _verify_qe_report(quote.qe_report_bytes, quote.qe_signature, pck)
    # (8) That report vouches for the attestation key (A.3.8): SHA-256 of key and auth data.
    vouched = hashlib.sha256(quote.attestation_key + quote.qe_auth_data).digest() + bytes(32)
    if not hmac.compare_digest(vouched, quote.qe_report.report_data):
        raise EvidenceSignatureError(
            what="attestation key", expected="the quoting enclave (report data differ)"
        )
    # (9) The attestation key signed header and TD report.
    key = _attestation_key(quote.attestation_key)
    verify_signature(
        key, quote.signature, quote.signed, what="quote", by="the attestation key it carries"
    )


@lru_cache(maxsize=_CACHE)
def _verify_qe_report(report: bytes, signature: bytes, pck: Certificate) -> None:
    verify_signature(pck.key, signature, report, what="QE report", by=pck.what)


@lru_cache(maxsize=_CACHE)
def _attestation_key(raw: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + raw)
    except ValueError as exc:
        raise EvidenceMalformedError(what="attestation key", detail="not on P-256") from exc


def _check_attributes(report: TDReport) -> None:
    """Step (10): TD attributes (TDX module ABI spec, "ATTRIBUTES")."""
    bits = int.from_bytes(report.td_attributes, "little")
    if bits & _TUD:
        raise DebugRefusedError(family=Family.TDX.value, actual=report.td_attributes.hex())
    # SEPT_VE_DISABLE keeps the host from making memory accesses raise #VE. The rest (key
    # locker, migration, performance counters, reserved) lets it interfere, or is unknown.
    if bits | _PKS != _SEPT_VE_DISABLE | _PKS:
        raise EnvironmentRefusedError(
            field="TD attributes",
            actual=f"{bits:016x}",
            expected=f"{_SEPT_VE_DISABLE:016x} or {_SEPT_VE_DISABLE | _PKS:016x}",
        )


def _claims(report: TDReport, status: Status, endorsed: _Verified) -> Claims:
    """Raises ``TCBRefusedError`` for a revoked platform: no policy may tolerate it."""
    if status.status == "Revoked":
        raise TCBRefusedError(part="platform", status=status.status)
    measurements: Mapping[str, bytes] = {
        "mrtd": report.mrtd,
        **{f"rtmr{index}": value for index, value in enumerate(report.rtmrs)},
        "mrseam": report.mrseam,
        "mrconfigid": report.mrconfigid,
        "mrowner": report.mrowner,
        "mrownerconfig": report.mrownerconfig,
    }
    return Claims(
        family=Family.TDX,
        root=endorsed.root,
        root_kind=root_kind(endorsed.root),
        measurements=MappingProxyType(dict(measurements)),
        debug=False,
        tcb=TCB(
            status=status.status,
            advisories=status.advisories,
            evaluation_number=min(
                endorsed.tcb_info.evaluation_number, endorsed.qe_identity.evaluation_number
            ),
        ),
        instance_id=endorsed.platform.ppid,
        collateral_expires=min(not_after for _, _, not_after in endorsed.periods),
    )

# SPDX-License-Identifier: Apache-2.0
"""Verification of an Intel TDX quote (docs/spec/evidence/intel.md, 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from accord.encoding import Digest
from accord.errors import DebugRefusedError, EnvironmentRefusedError, EvidenceMalformedError
from accord.evidence._claims import Verified
from accord.evidence._evidence import Evidence, refuse_unknown
from accord.evidence.intel._ccel import LOG, TABLE, read_event_log
from accord.evidence.intel._claims import Verdict, make_claims
from accord.evidence.intel._collateral import Collateral
from accord.evidence.intel._endorsements import verify_endorsements, verify_quote_signatures
from accord.evidence.intel._evaluate import evaluate_qe, evaluate_tdx
from accord.evidence.intel._quote import Quote, TDReport, parse_quote
from accord.policy import Family, Scalar

_TUD = 0xFF  # bits 7:0 of the TD attributes, "TD under debug"; bit 0 is DEBUG
_FLAGS: Mapping[str, int] = MappingProxyType(
    {
        "lass": 1 << 27,
        "sept_ve_disable": 1 << 28,
        "migratable": 1 << 29,
        "pks": 1 << 30,
        "kl": 1 << 31,
        "perfmon": 1 << 63,
    }
)
"""TD attributes that have a meaning (TDX module ABI specification, "ATTRIBUTES")."""

ATTACHMENTS = frozenset({LOG, TABLE})
"""Names that `Evidence.aux` may have."""

_KNOWN = _TUD | sum(_FLAGS.values())
_NO_SERVICE_TD = bytes(48)


def parse_tdx(evidence: Evidence) -> Quote:
    """The quote in ``evidence``, nothing verified. Raises ``EvidenceMalformedError``."""
    return tdx_quote(evidence)[0]


def tdx_quote(evidence: Evidence) -> tuple[Quote, TDReport]:
    """The quote and its report, which is a TD's. Raises ``EvidenceMalformedError``."""
    quote = parse_quote(evidence.blob)
    if not isinstance(quote.report, TDReport):
        raise EvidenceMalformedError(what="quote", detail="it is of SGX, expected TDX")
    return quote, quote.report


def verify_tdx(evidence: Evidence, *, anchors: Sequence[Digest], now: datetime) -> Verified:
    """The claims of a TDX quote and its report data, which is *not* compared here.

    Raises the errors of family ATT.
    """
    # (1) The bytes are a quote whose lengths add up.
    quote, report = tdx_quote(evidence)
    refuse_unknown("attachments", evidence.aux, ATTACHMENTS)
    collateral = Collateral.from_endorsements(evidence.endorsements)
    # (2) to (6) Endorsements: chains, roots, revocation, TCB info, QE identity, periods.
    endorsed = verify_endorsements(quote, collateral, anchors=anchors, now=now)
    # (7) to (9) The quote is signed by a key that a genuine quoting enclave vouches for.
    verify_quote_signatures(quote, endorsed.chain[0])
    # (10) The TD is no debug TD.
    check_attributes(report)
    # (11) The state of platform, TDX module and quoting enclave; then the event log.
    qe = evaluate_qe(quote.qe_report, endorsed.qe_identity)
    status = evaluate_tdx(report, endorsed.platform, endorsed.tcb_info, qe)
    return tdx_claims(evidence, quote, report, endorsed.verdict(status))


def check_attributes(report: TDReport) -> None:
    """Step (10). Raises ``DebugRefusedError`` or ``EnvironmentRefusedError``."""
    bits = report.td_attributes
    if bits & _TUD:
        raise DebugRefusedError(family=Family.TDX.value, actual=f"{bits:016x}")
    # What an unknown bit allows is unknown: it may be as bad as debug.
    if bits & ~_KNOWN:
        raise EnvironmentRefusedError(
            field="TD attributes", actual=f"{bits:016x}", expected="no reserved bit"
        )


def tdx_claims(evidence: Evidence, quote: Quote, report: TDReport, verdict: Verdict) -> Verified:
    """Claims and report data. Raises ``TCBRefusedError`` or ``LogMismatchError``."""
    svn, running = report.tee_tcb_svn, report.tee_tcb_svn_2
    logged = read_event_log(evidence, report)
    attributes: dict[str, Scalar | None] = {
        **{name: bool(report.td_attributes & bit) for name, bit in _FLAGS.items()},
        "service_td": report.mrservicetd not in {None, _NO_SERVICE_TD},
        "rtmr3_unlogged": logged.rtmr3_unlogged,
        "quote_version": quote.header.version,
        "td_report": report.body,
        "tdx_module_svn": svn[0],
        "tdx_module_version": svn[1],
        "seam_patch_svn": svn[2],
        "running_tdx_module_svn": None if running is None else running[0],
        "running_tdx_module_version": None if running is None else running[1],
        "running_seam_patch_svn": None if running is None else running[2],
    }
    claims = make_claims(
        Family.TDX,
        verdict,
        measurements={
            "mrtd": report.mrtd,
            **{f"rtmr{index}": value for index, value in enumerate(report.rtmrs)},
            "mrseam": report.mrseam,
            "mrsignerseam": report.mrsignerseam,
            "mrconfigid": report.mrconfigid,
            "mrowner": report.mrowner,
            "mrownerconfig": report.mrownerconfig,
            "mrservicetd": report.mrservicetd,
            "td_attributes": report.td_attributes.to_bytes(8, "little"),
            "xfam": report.xfam,
            "tee_tcb_svn": svn,
            "tee_tcb_svn_2": running,
        },
        attributes=attributes,
        components=logged.components,
    )
    return Verified(claims, MappingProxyType({"report_data": report.report_data}))

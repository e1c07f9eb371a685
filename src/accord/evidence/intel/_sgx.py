# SPDX-License-Identifier: Apache-2.0
"""Verification of an Intel SGX quote (docs/spec/evidence/intel.md, 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from accord.encoding import Digest
from accord.errors import DebugRefusedError, EnvironmentRefusedError, EvidenceMalformedError
from accord.evidence._claims import Verified
from accord.evidence._evidence import Evidence, refuse_unknown
from accord.evidence.intel._claims import Verdict, make_claims
from accord.evidence.intel._collateral import Collateral
from accord.evidence.intel._endorsements import verify_endorsements, verify_quote_signatures
from accord.evidence.intel._evaluate import evaluate_qe, evaluate_sgx
from accord.evidence.intel._quote import Quote, SGXReport, parse_quote
from accord.policy import Family, Scalar

_DEBUG = 1 << 1
_KNOWN = 0b100_1111_0111
"""Bits of ATTRIBUTES that have a meaning (Intel SDM, volume 3D, 38.7.1): 0-2, 4-7, 10."""

_FLAGS: Mapping[str, int] = MappingProxyType(
    {
        "mode64bit": 1 << 2,
        "provision_key": 1 << 4,
        "einittoken_key": 1 << 5,
        "cet": 1 << 6,
        "kss": 1 << 7,
        "aexnotify": 1 << 10,
    }
)


def parse_sgx(evidence: Evidence) -> Quote:
    """The quote in ``evidence``, nothing verified. Raises ``EvidenceMalformedError``."""
    return sgx_quote(evidence)[0]


def sgx_quote(evidence: Evidence) -> tuple[Quote, SGXReport]:
    """The quote and its report, which is an enclave's. Raises ``EvidenceMalformedError``."""
    quote = parse_quote(evidence.blob)
    if not isinstance(quote.report, SGXReport):
        raise EvidenceMalformedError(what="quote", detail="it is of TDX, expected SGX")
    return quote, quote.report


def verify_sgx(evidence: Evidence, *, anchors: Sequence[Digest], now: datetime) -> Verified:
    """The claims of an SGX quote and its report data, which is *not* compared here.

    Raises the errors of family ATT.
    """
    # (1) The bytes are a quote whose lengths add up.
    quote, report = sgx_quote(evidence)
    refuse_unknown("attachments", evidence.aux)
    collateral = Collateral.from_endorsements(evidence.endorsements)
    # (2) to (6) Endorsements: chains, roots, revocation, TCB info, QE identity, periods.
    endorsed = verify_endorsements(quote, collateral, anchors=anchors, now=now)
    # (7) to (9) The quote is signed by a key that a genuine quoting enclave vouches for.
    verify_quote_signatures(quote, endorsed.chain[0])
    # (10) The enclave is no debug enclave.
    check_attributes(report)
    # (11) The state of platform and quoting enclave.
    qe = evaluate_qe(quote.qe_report, endorsed.qe_identity)
    status = evaluate_sgx(endorsed.platform, endorsed.tcb_info, qe)
    return sgx_claims(report, endorsed.verdict(status))


def check_attributes(report: SGXReport) -> None:
    """Step (10). Raises ``DebugRefusedError`` or ``EnvironmentRefusedError``."""
    if report.flags & _DEBUG:
        raise DebugRefusedError(family=Family.SGX.value, actual=report.attributes.hex())
    # What an unknown bit allows is unknown: it may be as bad as debug.
    if report.flags & ~_KNOWN:
        raise EnvironmentRefusedError(
            field="SGX attributes", actual=f"{report.flags:016x}", expected="no reserved bit"
        )


def sgx_claims(report: SGXReport, verdict: Verdict) -> Verified:
    """Claims and report data. Raises ``TCBRefusedError``."""
    attributes: dict[str, Scalar | None] = {
        "isv_prod_id": report.isv_prod_id,
        "isv_svn": report.isv_svn,
        "config_svn": report.config_svn,
        **{name: bool(report.flags & bit) for name, bit in _FLAGS.items()},
    }
    claims = make_claims(
        Family.SGX,
        verdict,
        measurements={
            "mrenclave": report.mrenclave,
            "mrsigner": report.mrsigner,
            "config_id": report.config_id,
            "attributes": report.attributes,
            "misc_select": report.misc_select,
            "isv_ext_prod_id": report.isv_ext_prod_id,
            "isv_family_id": report.isv_family_id,
        },
        attributes=attributes,
    )
    return Verified(claims, MappingProxyType({"report_data": report.report_data}))

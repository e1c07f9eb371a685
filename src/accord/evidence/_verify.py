# SPDX-License-Identifier: Apache-2.0
"""One entry for every family of evidence: a pure function, offline."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from datetime import datetime

from accord.encoding import Digest
from accord.errors import AnchorUnknownError, BindingMismatchError
from accord.evidence._binding import Binding
from accord.evidence._claims import Claims
from accord.evidence._evidence import Evidence
from accord.policy import Family


def _verifier(family: Family) -> Callable[..., tuple[Claims, bytes]]:
    """The family's verifier; each is loaded when its first evidence comes."""
    match family:
        case Family.TDX:
            from accord.evidence._tdx import verify_tdx

            return verify_tdx


def verify(
    evidence: Evidence, *, anchors: Sequence[Digest], now: datetime, binding: Binding
) -> Claims:
    """What ``evidence`` proves about the environment that made it, at the moment ``now``.

    Trusts nothing but ``anchors`` (SHA-256 of root certificates) and is offline: ``now`` and
    the collateral are arguments. Whether the measurements are the right ones, whether the
    TCB status suffices, and whether a test root is acceptable is *not* decided here:
    `appraise` does. Whether the nonce was used before is its issuer's to check.

    Raises the errors of family ATT.
    """
    # (0) Somebody must be trusted: an empty list would otherwise look like "no restriction".
    if not anchors:
        raise AnchorUnknownError(what="evidence", actual="any", expected="none at all")
    # (1) to (11) Everything that depends on the family.
    claims, report_data = _verifier(evidence.family)(
        evidence.blob, evidence.collateral, anchors=anchors, now=now
    )
    # (12) It was made for this purpose, role, nonce, key, connection and claims.
    expected = binding.report_data()
    if not hmac.compare_digest(expected, report_data):
        raise BindingMismatchError(
            actual=report_data.hex(),
            expected=expected.hex(),
            purpose=binding.purpose.value,
            role=binding.role.value,
        )
    return claims

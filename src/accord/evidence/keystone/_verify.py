# SPDX-License-Identifier: Apache-2.0
"""Verification of a Keystone report (docs/spec/evidence/keystone.md, 3)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import MappingProxyType

from accord.encoding import Digest, sha256
from accord.errors import AnchorUnknownError, EvidenceMalformedError
from accord.evidence._claims import Claims, Endorser, Verified
from accord.evidence._evidence import Evidence
from accord.evidence._roots import root_kind
from accord.evidence.keystone._ed25519_sha3 import verify
from accord.evidence.keystone._report import Report, parse_keystone
from accord.policy import Family


def verify_keystone(
    evidence: Evidence,
    *,
    anchors: Sequence[Digest],
    now: datetime,  # noqa: ARG001 - the same for every family; bare keys never expire
) -> Verified:
    """The claims of a Keystone report and the enclave's data, which are *not* compared here.

    Whether the device still is in its owner's hands is *not* checked: there is no revocation
    but leaving its key out of ``anchors``.

    Raises the errors of family ATT.
    """
    # (1) The bytes are a report; nothing that it does not define comes along.
    report = parse_keystone(evidence)
    if evidence.endorsements or evidence.aux:
        raise EvidenceMalformedError(what="Keystone evidence", detail="it has attachments")
    # (2) The device is one of those that are trusted, by the SHA-256 of its public key.
    root = sha256(report.device_key)
    if root not in anchors:
        expected = ", ".join(anchors) or "none at all"
        raise AnchorUnknownError(what="Keystone report", actual=root, expected=expected)
    # (3) The device signed the hash and the key of its security monitor.
    monitor = report.security_monitor
    verify(
        report.device_key,
        monitor.signature,
        monitor.signed,
        what="security monitor",
        by="the device key",
    )
    # (4) That security monitor signed the enclave's hash and data, with their length.
    verify(
        monitor.public_key,
        report.enclave.signature,
        report.enclave.signed,
        what="enclave report",
        by="the security monitor",
    )
    return Verified(_claims(report, root), MappingProxyType({"report_data": report.enclave.data}))


def _claims(report: Report, root: Digest) -> Claims:
    return Claims(
        family=Family.KEYSTONE,
        root=root,
        root_kind=root_kind(root),
        measurements=MappingProxyType(
            {"enclave": report.enclave.hash, "security_monitor": report.security_monitor.hash}
        ),
        debug=False,
        tcb=None,
        instance_id=report.device_key,
        collateral_expires=None,
        chain=(
            Endorser("security monitor", sha256(report.security_monitor.public_key), None, None),
            Endorser("device key", root, None, None),
        ),
    )

# SPDX-License-Identifier: Apache-2.0
"""Verification: claims, and the attacks that vectors do not hold."""

import dataclasses
import hashlib
from datetime import timedelta
from typing import Any

import pytest

from accord.errors import (
    AnchorUnknownError,
    CollateralMismatchError,
    EvidenceError,
    EvidenceExpiredError,
    EvidenceMalformedError,
    EvidenceSignatureError,
    TCBRefusedError,
)
from accord.evidence import Claims, RootKind, verify
from accord.policy import FAMILIES, Assurance, Family
from accord.testing import _pki, _quote


def check(vector: Any, **changes: Any) -> Claims:
    """`verify` of a vector with its evidence, anchors or moment exchanged."""
    evidence = dataclasses.replace(
        vector.evidence, **{k: v for k, v in changes.items() if k in {"blob", "collateral"}}
    )
    return verify(
        evidence,
        anchors=changes.get("anchors", vector.anchors),
        now=changes.get("now", vector.now),
        binding=vector.binding,
    )


def test_claims_are_what_the_quote_and_its_collateral_say(good: Any, generate: Any) -> None:
    """Claims name root, registers, platform, TCB and the end of the shortest period."""
    claims = check(good)

    assert generate.measurements() == dict(claims.measurements)
    assert set(FAMILIES[Family.TDX].measurements) == set(claims.measurements)
    assert (claims.instance_id, claims.debug) == (generate.PPID, False)
    assert (good.anchors[0], RootKind.TEST) == (claims.root, claims.root_kind)
    assert dataclasses.astuple(claims.tcb) == ("UpToDate", (), 17)
    assert claims.collateral_expires == generate.ISSUED + _pki.COLLATERAL_VALIDITY


def test_a_test_root_is_never_more_than_simulated(good: Any) -> None:
    """Only a vendor's own root lifts the assurance level above simulated."""
    claims = check(good)
    hardware = dataclasses.replace(claims, root_kind=RootKind.PRODUCTION)

    assert (claims.assurance, hardware.assurance) == (Assurance.SIMULATED, Assurance.CVM)


def test_the_last_second_counts_and_the_next_does_not(good: Any) -> None:
    """Evidence verifies until collateral_expires, even after it verified before."""
    expires = check(good).collateral_expires

    assert check(good, now=expires) == check(good)
    with pytest.raises(EvidenceExpiredError):
        check(good, now=expires + timedelta(seconds=1))


def test_a_root_that_is_no_longer_pinned_is_refused_although_cached(good: Any) -> None:
    """Caching signatures caches no trust."""
    check(good)
    with pytest.raises(AnchorUnknownError):
        check(good, anchors=("sha256:" + "00" * 32,))


def test_the_evaluation_number_is_the_older_of_two(good: Any, maker: Any) -> None:
    """A fresh TCB info beside a stale QE identity counts as stale."""
    old = maker.world.sign_again(good.evidence.collateral, "qe_identity", 'Number":17', 'Number":3')

    assert check(good, collateral=old).tcb.evaluation_number == 3


@pytest.mark.parametrize(
    ("field", "old", "new", "error"),
    [
        ("tcb_info", '"TDX"', '"SGX"', EvidenceMalformedError),
        ("tcb_info", '"version":3', '"version":2', EvidenceMalformedError),
        ("tcb_info", '"OutOfDate"', '"Splendid"', EvidenceMalformedError),
        ("tcb_info", '"svn":5', '"svn":true', EvidenceMalformedError),
        ("tcb_info", '"svn":5', '"svn":-5', EvidenceMalformedError),
        ("tcb_info", '{"svn":5},', "", EvidenceMalformedError),
        ("tcb_info", '"nextUpdate":"2', '"nextUpdate":"x', EvidenceMalformedError),
        ("tcb_info", "}", "", EvidenceMalformedError),
        ("tcb_info", '"pceId":"0000"', '"pceId":"00"', EvidenceMalformedError),
        ("tcb_info", '"pceId":"0000"', '"pceId":"0001"', CollateralMismatchError),
        ("tcb_info", '"TDX_01"', '"TDX_02"', TCBRefusedError),
        ("tcb_info", '"svn":3', '"svn":4', TCBRefusedError),
        ("tcb_info", '"attributes":"00', '"attributes":"01', CollateralMismatchError),
        ("tcb_info", '"mrsigner":"00', '"mrsigner":"01', CollateralMismatchError),
        ("qe_identity", '"isvsvn":4', '"isvsvn":5', TCBRefusedError),
        ("qe_identity", '"isvprodid":2', '"isvprodid":1', CollateralMismatchError),
        ("qe_identity", '"miscselect":"00', '"miscselect":"01', CollateralMismatchError),
        ("qe_identity", '"attributes":"11', '"attributes":"10', CollateralMismatchError),
        ("qe_identity", '"UpToDate"', '"Revoked"', TCBRefusedError),
        ("qe_identity", '"UpToDate"', '"ConfigurationNeeded"', EvidenceMalformedError),
    ],
)
def test_signed_collateral_that_does_not_fit_is_refused(
    *, good: Any, maker: Any, field: str, old: str, new: str, error: type[Exception]
) -> None:
    """Even the vendor's own signature does not make unfit collateral fit."""
    collateral = maker.world.sign_again(good.evidence.collateral, field, old, new)
    with pytest.raises(error):
        check(good, collateral=collateral)


@pytest.mark.parametrize(
    ("platform", "part", "joined"),
    [
        ("UpToDate", "OutOfDate", "OutOfDate"),
        ("SWHardeningNeeded", "OutOfDate", "OutOfDate"),
        ("ConfigurationNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"),
        ("ConfigurationAndSWHardeningNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"),
        ("OutOfDate", "OutOfDate", "OutOfDate"),
        ("ConfigurationNeeded", "UpToDate", "ConfigurationNeeded"),
    ],
)
def test_an_outdated_quoting_enclave_drags_the_platform_down(
    good: Any, maker: Any, platform: str, part: str, joined: str
) -> None:
    """The status of platform and quoting enclave is the worse of the two."""
    again, collateral = maker.world.sign_again, good.evidence.collateral
    collateral = again(collateral, "qe_identity", '"UpToDate"', f'"{part}"')
    level = '"pcesvn":11},"tcbDate":"2026-01-14T12:00:00Z","tcbStatus":'
    collateral = again(collateral, "tcb_info", f'{level}"UpToDate"', f'{level}"{platform}"')

    assert check(good, collateral=collateral).tcb.status == joined


def test_an_older_platform_gets_its_own_level_and_advisories(good: Any, maker: Any) -> None:
    """A platform below the newest level is out of date, and says why."""
    collateral = maker.world.sign_again(
        good.evidence.collateral, "tcb_info", '"pcesvn":11', '"pcesvn":12'
    )
    tcb = check(good, collateral=collateral).tcb

    assert (tcb.status, tcb.advisories) == ("OutOfDate", ("ACCORD-SIM-0001",))


def test_module_version_zero_is_judged_by_the_platform_level(good: Any, maker: Any) -> None:
    """A TDX module without an identity of its own is compared in all components."""
    old = maker.world.quote(maker.data, tee_tcb_svn=bytes((4, 0, *_pki.TEE_TCB_SVN[2:])))
    new = maker.world.quote(maker.data, tee_tcb_svn=bytes((5, 0, *_pki.TEE_TCB_SVN[2:])))

    assert check(good, blob=new).tcb.status == "UpToDate"
    with pytest.raises(TCBRefusedError):
        check(good, blob=old)


def test_a_late_microcode_below_every_level_is_refused(good: Any, maker: Any) -> None:
    """Components of TEE_TCB_SVN beyond the module's two always count."""
    blob = maker.world.quote(maker.data, tee_tcb_svn=bytes((5, 1, *(0,) * 14)))
    with pytest.raises(TCBRefusedError):
        check(good, blob=blob)


def test_an_attestation_key_off_the_curve_is_refused(good: Any, maker: Any) -> None:
    """A vouched-for key that is no point of P-256 is malformed, not a crash."""
    world = maker.world
    certified = _quote.certify(world.pck, world.attestation, world.pck_chain)
    qe_report = _quote._qe_report(hashlib.sha256(bytes(64) + _quote._QE_AUTH_DATA).digest())
    start = 64 + 6
    forged = b"".join(
        (
            bytes(64),
            certified[64:start],
            qe_report,
            _pki.raw_signature(world.pck, qe_report),
            certified[start + 384 + 64 :],
        )
    )
    with pytest.raises(EvidenceMalformedError, match="attestation key"):
        check(good, blob=world.quote(maker.data, certification=forged))


def test_a_signature_of_zeros_is_refused(good: Any) -> None:
    """The zero signature, which broke other verifiers, verifies nothing (CVE-2022-21449)."""
    blob = good.evidence.blob
    zeroed = blob[:636] + bytes(64) + blob[700:]
    with pytest.raises(EvidenceSignatureError):
        check(good, blob=zeroed)


@pytest.mark.parametrize("field", ["tcb_info", "qe_identity", "pck_crl_issuer_chain"])
def test_text_that_is_not_unicode_is_refused(good: Any, field: str) -> None:
    """Half a surrogate pair, put there by a program, is refused and is no crash."""
    broken: dict[str, Any] = {field: "\ud800"}
    with pytest.raises(EvidenceError):
        check(good, collateral=dataclasses.replace(good.evidence.collateral, **broken))

# SPDX-License-Identifier: Apache-2.0
"""Verification of TDX quotes: claims, and the attacks that vectors do not hold."""

import dataclasses
import hashlib
from datetime import timedelta
from typing import Any

import pytest

from accord.errors import (
    AnchorUnknownError,
    AppraisalError,
    CollateralMismatchError,
    EvidenceError,
    EvidenceExpiredError,
    EvidenceMalformedError,
    EvidenceSignatureError,
    TCBRefusedError,
)
from accord.evidence import TCB, Claims, RootKind, appraise, verify
from accord.evidence.intel import TDReport, parse_pck_extension, parse_quote
from accord.evidence.intel._evaluate import evaluate_tdx
from accord.evidence.intel._tcb import Status, parse_tcb_info
from accord.policy import FAMILIES, Assurance, AttestationVariant, Family
from accord.testing import _pki, _quote


def check(vector: Any, **changes: Any) -> Claims:
    """`verify` of a vector with its evidence, anchors or moment exchanged."""
    evidence = dataclasses.replace(
        vector.evidence,
        blob=changes.get("blob", vector.evidence.blob),
        endorsements=changes.get("collateral", vector.collateral).to_endorsements(),
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

    assert generate.measurements().items() <= claims.measurements.items()
    assert (claims.instance_id, claims.debug) == (generate.PPID, False)
    assert (good.anchors[0], RootKind.TEST) == (claims.root, claims.root_kind)
    assert claims.tcb == TCB("UpToDate", (), 17)
    assert claims.collateral_expires == generate.ISSUED + _pki.COLLATERAL_VALIDITY


def test_a_test_root_is_never_more_than_simulated(good: Any) -> None:
    """Only a vendor's own root lifts the assurance level above simulated."""
    claims = check(good)
    hardware = dataclasses.replace(claims, root_kind=RootKind.PRODUCTION)

    assert (claims.assurance, hardware.assurance) == (Assurance.SIMULATED, Assurance.CVM)


def test_the_last_second_counts_and_the_next_does_not(good: Any) -> None:
    """Evidence verifies until collateral_expires, even after it verified before."""
    expires: Any = check(good).collateral_expires

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
    old = maker.world.sign_again(good.collateral, "qe_identity", 'Number":17', 'Number":3')

    assert check(good, collateral=old).tcb == TCB("UpToDate", (), 3)


@pytest.mark.parametrize(
    ("field", "old", "new", "error"),
    [
        ("tcb_info", '"TDX"', '"SGX"', CollateralMismatchError),
        ("tcb_info", '"TDX"', '"XYZ"', EvidenceMalformedError),
        ("tcb_info", '"tcbType":0', '"tcbType":1', EvidenceMalformedError),
        ("qe_identity", '"TD_QE"', '"QE"', CollateralMismatchError),
        ("qe_identity", '"TD_QE"', '"QVE"', EvidenceMalformedError),
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
    collateral = maker.world.sign_again(good.collateral, field, old, new)
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
    again, collateral = maker.world.sign_again, good.collateral
    collateral = again(collateral, "qe_identity", '"UpToDate"', f'"{part}"')
    level = '"pcesvn":11},"tcbDate":"2026-01-14T12:00:00Z","tcbStatus":'
    collateral = again(collateral, "tcb_info", f'{level}"UpToDate"', f'{level}"{platform}"')

    assert check(good, collateral=collateral).tcb_status == joined


def test_an_older_platform_gets_its_own_level_and_advisories(good: Any, maker: Any) -> None:
    """A platform below the newest level is out of date, and says why."""
    collateral = maker.world.sign_again(good.collateral, "tcb_info", '"pcesvn":11', '"pcesvn":12')
    assert check(good, collateral=collateral).tcb == TCB("OutOfDate", ("ACCORD-SIM-0001",), 17)


def test_module_version_zero_is_judged_by_the_platform_level(good: Any, maker: Any) -> None:
    """A TDX module without an identity of its own is compared in all components."""
    old = maker.world.quote(maker.data, tee_tcb_svn=bytes((4, 0, *_pki.TEE_TCB_SVN[2:])))
    new = maker.world.quote(maker.data, tee_tcb_svn=bytes((5, 0, *_pki.TEE_TCB_SVN[2:])))

    assert check(good, blob=new).tcb_status == "UpToDate"
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
    qe_report = _quote.sgx_report(
        {"mrenclave": bytes(32), "mrsigner": bytes(32)},
        hashlib.sha256(bytes(64) + _quote._QE_AUTH_DATA).digest(),
    )
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
        check(good, collateral=dataclasses.replace(good.collateral, **broken))


def test_claims_go_by_the_names_that_a_policy_knows(good: Any, maker: Any) -> None:
    """Whatever body a quote has, its claims are fields of the family, of the right type."""
    fields = FAMILIES[Family.TDX]
    seen_measurements, seen_attributes = set[str](), set[str]()
    for changes in ({}, {"version": 5}, {"version": 5, "td_report": "1.5"}):
        claims = check(good, blob=maker.world.quote(maker.data, **changes))
        for name, value in claims.measurements.items():
            assert len(value) in fields.measurements[name]
        for attribute, found in claims.attributes.items():
            assert fields.attributes[attribute] is type(found)
        seen_measurements |= set(claims.measurements)
        seen_attributes |= set(claims.attributes)

    assert set(fields.measurements) == seen_measurements
    assert set(fields.attributes) == seen_attributes


def test_the_versions_in_a_report_are_claims(good: Any, maker: Any) -> None:
    """A policy can demand a least module version, of the one that starts and the one that runs."""
    blob = maker.world.quote(
        maker.data, version=5, td_report="1.5", tee_tcb_svn_2=bytes((9, 1, 7, *(0,) * 13))
    )
    found = check(good, blob=blob).attributes

    assert (found["quote_version"], found["td_report"]) == (5, "1.5")
    assert [found[name] for name in ("tdx_module_svn", "tdx_module_version", "seam_patch_svn")] == [
        5,
        1,
        2,
    ]
    assert [
        found[f"running_{name}"]
        for name in ("tdx_module_svn", "tdx_module_version", "seam_patch_svn")
    ] == [9, 1, 7]


def admits(claims: Claims, good: Any, **changes: Any) -> bool:
    """Whether a policy that only names MRTD, and ``changes``, admits ``claims``."""
    variant = AttestationVariant(
        family=Family.TDX,
        simulated=True,
        measurements={"mrtd": (claims.measurements["mrtd"],)},
        tcb_statuses=("UpToDate",),
        min_tcb_evaluation_number=0,
        **changes,
    )
    try:
        appraise(claims, [variant], now=good.now)
    except AppraisalError:
        return False
    return True


@pytest.mark.parametrize(
    ("attribute", "bits", "weak"),
    [
        ("sept_ve_disable", 0, False),
        ("migratable", 1 << 28 | 1 << 29, True),
        ("kl", 1 << 28 | 1 << 31, True),
        ("perfmon", 1 << 28 | 1 << 63, True),
    ],
)
def test_a_weakened_td_is_only_admitted_by_a_policy_that_says_so(
    *, good: Any, maker: Any, attribute: str, bits: int, weak: bool
) -> None:
    """Azure starts TDs without SEPT_VE_DISABLE: verified, refused by default, admitted by name."""
    claims = check(good, blob=maker.world.quote(maker.data, td_attributes=bits))

    assert weak is claims.attributes[attribute]
    assert not admits(claims, good)
    assert admits(claims, good, attributes={attribute: (weak,)})


def test_a_td_with_a_service_td_is_only_admitted_by_name(good: Any, maker: Any) -> None:
    """Whoever a service TD is, a policy must ask for one, and can ask for which."""
    blob = maker.world.quote(maker.data, version=5, td_report="1.5", mrservicetd=bytes(range(48)))
    claims = check(good, blob=blob)

    assert bytes(range(48)) == claims.measurements["mrservicetd"]
    assert not admits(claims, good)
    assert admits(claims, good, attributes={"service_td": (True,)})


@pytest.mark.parametrize("bit", [1 << 27, 1 << 30])
def test_protections_that_a_td_switched_on_are_admitted(good: Any, maker: Any, bit: int) -> None:
    """LASS and protection keys strengthen a TD."""
    blob = maker.world.quote(maker.data, td_attributes=_quote.SEPT_VE_DISABLE | bit)

    assert admits(check(good, blob=blob), good)


@pytest.mark.parametrize(
    ("svn", "running", "status"),
    [
        ((2, 1, 2), (5, 1, 2), "TDRelaunchAdvised"),
        ((2, 1, 2), (4, 1, 2), "OutOfDate"),
        ((2, 1, 2), (2, 1, 2), "OutOfDate"),
        ((2, 1, 2), (5, 0, 2), "TDRelaunchAdvised"),
        ((5, 1, 2), (4, 1, 2), "UpToDate"),
    ],
)
def test_a_module_updated_under_a_running_td_calls_for_a_relaunch(
    *, good: Any, maker: Any, svn: tuple[int, ...], running: tuple[int, ...], status: str
) -> None:
    """Only where the module that runs now is the newest does starting anew help."""
    blob = maker.world.quote(
        maker.data,
        version=5,
        td_report="1.5",
        tee_tcb_svn=bytes((*svn, *(0,) * 13)),
        tee_tcb_svn_2=bytes((*running, *(0,) * 13)),
    )

    assert status == check(good, blob=blob).tcb_status


def relaunched(good: Any, maker: Any, **running: Any) -> Any:
    svn = bytes((2, *_pki.TEE_TCB_SVN[1:]))
    return maker.world.quote(maker.data, version=5, td_report="1.5", tee_tcb_svn=svn, **running)


def test_a_relaunch_does_not_mend_the_platform(good: Any, maker: Any) -> None:
    """What needs configuration still does; what is out of date beside the module stays so."""
    again, blob = maker.world.sign_again, relaunched(good, maker)
    level = '"pcesvn":11},"tcbDate":"2026-01-14T12:00:00Z","tcbStatus":'
    needs = again(
        good.collateral, "tcb_info", f'{level}"UpToDate"', f'{level}"ConfigurationNeeded"'
    )
    old_qe = again(good.collateral, "qe_identity", '"UpToDate"', '"OutOfDate"')
    old_cpu = again(good.collateral, "tcb_info", '"pcesvn":11', '"pcesvn":12')

    assert check(good, blob=blob, collateral=needs).tcb_status == (
        "TDRelaunchAdvisedConfigurationNeeded"
    )
    assert check(good, blob=blob, collateral=old_qe).tcb_status == "OutOfDate"
    assert check(good, blob=blob, collateral=old_cpu).tcb_status == "OutOfDate"


@pytest.mark.parametrize(
    ("running", "said"),
    [
        ((9, 9, 2), "TDX_09"),
        ((1, 1, 2), "TDX module has status unknown"),
        ((5, 1, 1), "older than every known level"),
        ((4, 0, 2), "older than every known level"),
    ],
)
def test_a_running_module_that_nobody_knows_is_refused(
    *, good: Any, maker: Any, running: tuple[int, ...], said: str
) -> None:
    """The module that runs now must be known too, whatever started the TD."""
    svn = bytes((*running, *(0,) * 13))
    for blob in (
        relaunched(good, maker, tee_tcb_svn_2=svn),
        maker.world.quote(maker.data, version=5, td_report="1.5", tee_tcb_svn_2=svn),
    ):
        with pytest.raises(TCBRefusedError, match=said):
            check(good, blob=blob)


def test_a_revoked_running_module_is_refused(good: Any, maker: Any) -> None:
    """A TD that a good module started is lost with the one that runs now."""
    date = "2026-01-14T12:00:00Z"
    old = f'"isvsvn":2}},"tcbDate":"{date}","tcbStatus":"OutOfDate"'
    collateral = maker.world.sign_again(
        good.collateral, "tcb_info", old, old.replace("OutOfDate", "Revoked")
    )
    svn = bytes((3, *_pki.TEE_TCB_SVN[1:]))
    blob = maker.world.quote(maker.data, version=5, td_report="1.5", tee_tcb_svn_2=svn)
    with pytest.raises(TCBRefusedError, match="Revoked"):
        check(good, blob=blob, collateral=collateral)


def test_a_running_module_without_levels_is_refused(good: Any, maker: Any) -> None:
    """A module that is listed without a level has no newest one."""
    bare = good.collateral.tcb_info.replace(
        '"tdxModuleIdentities":[',
        '"tdxModuleIdentities":[{"id":"TDX_03","mrsigner":"' + "00" * 48 + '","attributes":"'
        '0000000000000000","attributesMask":"FFFFFFFFFFFFFFFF","tcbLevels":[]},',
    )
    collateral = maker.world.sign_again(good.collateral, "tcb_info", good.collateral.tcb_info, bare)
    blob = relaunched(good, maker, tee_tcb_svn_2=bytes((9, 3, *_pki.TEE_TCB_SVN[2:])))
    with pytest.raises(TCBRefusedError, match="TDX module has status unknown"):
        check(good, blob=blob, collateral=collateral)


def test_tcb_info_without_a_module_is_of_another_tee(good: Any, maker: Any) -> None:
    """TCB info of SGX says nothing about TDX modules, so no TD is judged by it."""
    report = parse_quote(maker.world.quote(maker.data, tee_tcb_svn=bytes(16))).report
    assert isinstance(report, TDReport)
    info = dataclasses.replace(parse_tcb_info(good.collateral.tcb_info), module=None, tee="SGX")
    pck = parse_pck_extension(_pki._pck_extension(bytes(16)))
    with pytest.raises(CollateralMismatchError, match="TEE is TDX"):
        evaluate_tdx(report, pck, info, Status("UpToDate", ()))

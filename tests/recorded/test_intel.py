# SPDX-License-Identifier: Apache-2.0
"""SGX and TDX quotes of real machines, and Intel's own samples, where they are at hand."""

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.recorded import EVIDENCE, index, needs_evidence

from accord.encoding import Digest, sha256
from accord.errors import (
    AnchorUnknownError,
    AppraisalError,
    CollateralMismatchError,
    EvidenceError,
    EvidenceExpiredError,
    EvidenceSignatureError,
    LogMismatchError,
    TCBRefusedError,
)
from accord.evidence import (
    PRODUCTION_ROOTS,
    Claims,
    Evidence,
    RootKind,
    appraise,
    root_kind,
    verify_unbound,
)
from accord.evidence._certificate import load_certificates
from accord.evidence._chain import load_revocation_list
from accord.evidence.intel import Collateral, verify_with_dcap_qvl
from accord.evidence.intel._ccel import read_event_log
from accord.evidence.intel._chains import PCK_CHAIN, find_chain, read_certificates
from accord.evidence.intel._endorsements import (
    _verify_text,
    read_platform,
    verify_endorsements,
    verify_quote_signatures,
)
from accord.evidence.intel._import import signed_member
from accord.evidence.intel._quote import TDReport, parse_quote
from accord.evidence.intel._tcb import parse_qe_identity, parse_tcb_info
from accord.policy import Assurance, AttestationVariant, Family

pytestmark = needs_evidence

INTEL_SGX = "sgx/SGX-TDX-DCAP-QuoteVerificationLibrary"
INTEL_TDX = "tdx/SGX-TDX-DCAP-QuoteVerificationLibrary"
GOOGLE = "tdx/go-tdx-guest"
_SAMPLES = (
    "pckCert.pem",
    "pckSignChain.pem",
    "qeIdentity.json",
    "quote.dat",
    "tcbInfo.json",
    "tcbSignChain.pem",
    "trustedRootCaCert.pem",
    "intermediateCaCrl.der",
    "rootCaCrl.der",
)

COVERS = {
    "sgx/dcap-qvl/sgx_quote": "good, ConfigurationAndSWHardeningNeeded",
    "sgx/dcap-qvl/sgx_quote_collateral.json": "good, 2025-06-19 to 07-19",
    "tdx/dcap-qvl/tdx_quote": "good, UpToDate",
    "tdx/dcap-qvl/tdx_quote_collateral.json": "good, 2025-06-19 to 07-19",
    "tdx/dcap-qvl/tdx_quote_outdated": "no matching TCB level",
    "tdx/dcap-qvl/tdx_quote_outdated_collateral.json": "good, 2026-02-18 to 03-20",
    f"{GOOGLE}/tdx_prod_quote_SPR_E4.dat": "signed by hardware; its signer's chain is not recorded",
    f"{GOOGLE}/cos-113-tdx-quote.dat": "signed by hardware, log 4/4; no collateral is recorded",
    f"{GOOGLE}/ccel_data.dat": "replays to RTMR0 to RTMR3",
    f"{GOOGLE}/ccel_table.dat": "of the log",
    f"{GOOGLE}/nonce.dat": "is the report data",
    f"{GOOGLE}/quote_v5_sample.dat": "good, UpToDate with collateral of its kind of platform",
    f"{GOOGLE}/sample_tcbinfo_response_v5": "good with it",
    f"{GOOGLE}/sample_tcbInfo_response": "signed by Intel's TCB signer",
    f"{GOOGLE}/sample_qeIdentity_response": "signed by Intel's TCB signer",
    f"{GOOGLE}/pckcrl": "signed by Intel's PCK Platform CA",
    f"{GOOGLE}/rootcrl.der": "signed by Intel's root",
    **{f"{INTEL_SGX}/{name}": "good under its own root" for name in _SAMPLES},
    **{
        f"{INTEL_SGX}/{name}": "the same list"
        for name in ("intermediateCaCrl.pem", "rootCaCrl.pem")
    },
    f"{INTEL_SGX}/qveIdentity.json": "of another enclave: left aside",
    **{
        f"{INTEL_TDX}/{name}": "signed under its own root; its QE is not its own"
        for name in _SAMPLES
    },
}

ANCHORS = (Digest("sha256:44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"),)
NOW = datetime(2025, 6, 30, tzinfo=UTC)
LATER = datetime(2026, 2, 20, tzinfo=UTC)


def read(name: str) -> bytes:
    return (EVIDENCE / name).read_bytes()


def collateral(name: str) -> Collateral:
    return Collateral.from_bytes(read(name))


def evidence(family: Family, blob: bytes, endorsed: Collateral, **aux: bytes) -> Evidence:
    return Evidence(family, blob, endorsed.to_endorsements(), aux)


def recorded(family: Family, name: str) -> Evidence:
    """A quote with the collateral that was recorded with it."""
    return evidence(family, read(name), collateral(f"{name}_collateral.json"))


def real(family: Family) -> Evidence:
    """The recorded machine of each family that is good."""
    return recorded(family, f"{family}/dcap-qvl/{family}_quote")


def claims(item: Evidence, now: datetime = NOW, anchors: Sequence[Digest] = ANCHORS) -> Claims:
    return verify_unbound(item, anchors=anchors, now=now).claims


def test_every_recorded_file_of_intel_is_used_here() -> None:
    """Nothing that was recorded is forgotten."""
    found = {name for name in index() if name.startswith(("sgx/", "tdx/"))}

    assert found == set(COVERS)


def test_a_real_enclave_is_hardware() -> None:
    """A recorded SGX machine verifies under Intel's root, with what its state needs."""
    found = claims(real(Family.SGX))

    assert (found.root_kind, found.assurance) == (RootKind.PRODUCTION, Assurance.ENCLAVE)
    assert found.tcb_status == "ConfigurationAndSWHardeningNeeded"
    assert found.tcb is not None
    assert found.tcb.advisories == ("INTEL-SA-00289", "INTEL-SA-00615")
    assert (found.attributes["fmspc"], found.attributes["sgx_type"]) == ("00a067110000", "standard")
    assert "smt_enabled" not in found.attributes


def test_a_real_td_is_hardware() -> None:
    """A recorded TDX machine verifies under Intel's root, up to date, as a confidential VM."""
    found = claims(real(Family.TDX))

    assert (found.root_kind, found.assurance) == (RootKind.PRODUCTION, Assurance.CVM)
    assert found.tcb_status == "UpToDate"
    assert datetime(2025, 7, 19, 10, 0, 35, tzinfo=UTC) == found.collateral_expires
    assert [item.what for item in found.chain] == [
        "Intel SGX PCK Certificate",
        "Intel SGX PCK Platform CA",
        "Intel SGX Root CA",
    ]


@pytest.mark.parametrize("family", [Family.SGX, Family.TDX])
def test_real_collateral_is_good_for_its_month(family: Family) -> None:
    """Verification works from the newest issue date to the first expiry, both included."""
    item = real(family)
    first, last = datetime(2025, 6, 19, 11, tzinfo=UTC), claims(item).collateral_expires
    assert last is not None

    assert claims(item, first) == claims(item, last) == claims(item)
    for outside in (datetime(2025, 6, 19, 10, tzinfo=UTC), last + timedelta(seconds=1)):
        with pytest.raises(EvidenceExpiredError):
            claims(item, outside)


def test_an_outdated_machine_matches_no_level() -> None:
    """A platform older than every level that Intel lists is refused, whatever a policy says."""
    with pytest.raises(TCBRefusedError, match="older than every known level"):
        claims(recorded(Family.TDX, "tdx/dcap-qvl/tdx_quote_outdated"), LATER)


def test_a_real_quote_of_version_five_is_hardware() -> None:
    """A TD report 1.5 verifies with collateral of its kind of platform, of either source."""
    blob = read(f"{GOOGLE}/quote_v5_sample.dat")
    endorsed = collateral("tdx/dcap-qvl/tdx_quote_outdated_collateral.json")
    text, signature = signed_member(
        read(f"{GOOGLE}/sample_tcbinfo_response_v5").decode(), "tcbInfo", what="TCB info"
    )
    other = dataclasses.replace(endorsed, tcb_info=text, tcb_info_signature=signature)
    first, second = (claims(evidence(Family.TDX, blob, item), LATER) for item in (endorsed, other))

    assert (first.tcb, first.measurements) == (second.tcb, second.measurements)
    assert (first.root_kind, first.tcb_status) == (RootKind.PRODUCTION, "UpToDate")
    assert first.attributes["td_report"] == "1.5"
    assert first.measurements["mrservicetd"] == bytes(48)


def test_the_pinned_root_is_the_one_in_real_quotes() -> None:
    """The compiled-in digest is that of the root that real machines' chains end in."""
    for name in ("sgx/dcap-qvl/sgx_quote", "tdx/dcap-qvl/tdx_quote"):
        root = read_certificates(parse_quote(read(name)).certification_data)[-1]

        assert root.digest in ANCHORS
        assert root.digest in PRODUCTION_ROOTS
        assert root_kind(root.digest) is RootKind.PRODUCTION


QUOTES = {
    "sgx/dcap-qvl/sgx_quote": 0,
    "tdx/dcap-qvl/tdx_quote": 70,
    "tdx/dcap-qvl/tdx_quote_outdated": 0,
    f"{GOOGLE}/cos-113-tdx-quote.dat": 3065,
    f"{GOOGLE}/tdx_prod_quote_SPR_E4.dat": 39,
    f"{GOOGLE}/quote_v5_sample.dat": 0,
}


@pytest.mark.parametrize("name", QUOTES)
def test_real_quotes_are_signed_by_their_platforms(name: str) -> None:
    """Quote, quoting enclave and PCK chain of each recorded machine verify, padding aside."""
    quote = parse_quote(read(name))
    source = read_certificates(quote.certification_data)
    chain = find_chain(source, PCK_CHAIN, roots=(), anchors=ANCHORS)

    verify_quote_signatures(quote, chain[0])
    assert QUOTES[name] == quote.padding
    assert read_platform(chain[0]).fmspc


@pytest.mark.parametrize("name", QUOTES)
def test_no_signed_byte_of_a_real_quote_can_change(name: str) -> None:
    """One flipped bit anywhere in what is signed is found."""
    blob = read(name)
    quote = parse_quote(blob)
    chain = read_certificates(quote.certification_data)
    for at in range(48, len(quote.signed), 29):
        flipped = blob[:at] + bytes((blob[at] ^ 1,)) + blob[at + 1 :]
        with pytest.raises((EvidenceSignatureError, EvidenceError)):
            verify_quote_signatures(parse_quote(flipped), chain[0])


def test_real_collateral_of_another_machine_is_refused() -> None:
    """Genuine collateral for another platform does not serve."""
    endorsed = collateral("tdx/dcap-qvl/tdx_quote_collateral.json")
    for name in ("cos-113-tdx-quote.dat", "tdx_prod_quote_SPR_E4.dat"):
        with pytest.raises(CollateralMismatchError, match="FMSPC"):
            claims(evidence(Family.TDX, read(f"{GOOGLE}/{name}"), endorsed))


def test_a_real_quote_needs_intels_root_pinned() -> None:
    """Under any other anchor a real machine is a stranger."""
    for item in (real(Family.SGX), real(Family.TDX)):
        with pytest.raises(AnchorUnknownError):
            claims(item, anchors=(sha256(b""),))


def test_real_hardware_passes_a_policy_and_a_simulation_does_not() -> None:
    """The recorded TD is appraised as hardware; the enclave needs a tolerant policy."""
    found = claims(real(Family.TDX))
    variant = AttestationVariant(
        family=Family.TDX,
        simulated=False,
        measurements={"mrtd": (found.measurements["mrtd"],)},
        tcb_statuses=("UpToDate",),
        min_tcb_evaluation_number=17,
    )

    assert appraise(found, [variant], now=NOW).status == "affirming"
    with pytest.raises(AppraisalError):
        appraise(found, [dataclasses.replace(variant, simulated=True)], now=NOW)


def pcs_parts() -> dict[str, bytes]:
    """What PCS answered in June 2023, with chains that were recorded two years later."""
    names = ("pckcrl", "rootcrl.der", "sample_qeIdentity_response", "sample_tcbInfo_response")
    later = collateral("tdx/dcap-qvl/tdx_quote_collateral.json")
    return {name: read(f"{GOOGLE}/{name}") for name in names} | {
        "signers": later.tcb_info_issuer_chain.encode(),
        "ca": later.pck_crl_issuer_chain.encode(),
    }


def test_answers_of_pcs_are_signed_by_intel() -> None:
    """TCB info, QE identity and both lists are what Intel signed, byte for byte."""
    found = Collateral.from_pcs_parts(pcs_parts())
    signer, root = load_certificates(found.tcb_info_issuer_chain.encode(), what="signers")
    ca = load_certificates(found.pck_crl_issuer_chain.encode(), what="CA")[0]

    _verify_text(found.tcb_info, found.tcb_info_signature, signer, "TCB info")
    _verify_text(found.qe_identity, found.qe_identity_signature, signer, "QE identity")
    assert load_revocation_list(found.root_ca_crl, root).revoked == frozenset()
    assert len(load_revocation_list(found.pck_crl, ca).revoked) > 0
    assert (parse_tcb_info(found.tcb_info).tee, parse_qe_identity(found.qe_identity).enclave) == (
        "TDX",
        "TD_QE",
    )
    with pytest.raises(EvidenceSignatureError):
        _verify_text(found.tcb_info + " ", found.tcb_info_signature, signer, "TCB info")


def test_a_real_machine_of_2023_lacks_only_its_signers_certificate() -> None:
    """Its collateral fits, but the recorded TCB signer was certified later: refused, and why."""
    item = evidence(
        Family.TDX,
        read(f"{GOOGLE}/tdx_prod_quote_SPR_E4.dat"),
        Collateral.from_pcs_parts(pcs_parts()),
    )
    with pytest.raises(EvidenceExpiredError, match=r"TCB Signing is valid from 2025-05-06"):
        claims(item, datetime(2023, 6, 20, tzinfo=UTC))


def test_a_real_event_log_replays_to_the_quoted_registers() -> None:
    """Google's log explains all four registers, and nothing else does."""
    blob = read(f"{GOOGLE}/cos-113-tdx-quote.dat")
    report = parse_quote(blob).report
    assert isinstance(report, TDReport)
    aux = {"ccel": read(f"{GOOGLE}/ccel_data.dat"), "ccel_table": read(f"{GOOGLE}/ccel_table.dat")}
    item = Evidence(Family.TDX, blob, aux=aux)
    components, rtmr3_unlogged = read_event_log(item, report)

    assert not rtmr3_unlogged
    assert {name.name.split()[0] for name in components} == {"rtmr0", "rtmr1", "rtmr2"}
    assert report.rtmrs[3] == bytes(48)
    assert report.report_data == read(f"{GOOGLE}/nonce.dat")
    other = parse_quote(read("tdx/dcap-qvl/tdx_quote")).report
    assert isinstance(other, TDReport)
    with pytest.raises(LogMismatchError):
        read_event_log(item, other)


def sample_parts(folder: str, *, lists: str) -> dict[str, bytes]:
    """The files that lie beside a sample quote of Intel's, with its lists in one spelling."""
    names = [path.name for path in (EVIDENCE / folder).iterdir() if path.name != "quote.dat"]
    return {
        name: read(f"{folder}/{name}")
        for name in names
        if "Crl" not in name or name.endswith(lists)
    }


def sample_root(folder: str) -> Digest:
    return load_certificates(read(f"{folder}/trustedRootCaCert.pem"), what="root")[0].digest


SAMPLE_CLOCK = datetime(2022, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("lists", [".der", ".pem"])
def test_intels_sgx_sample_is_good_under_its_own_root(lists: str) -> None:
    """Certification data of type 1, TCB info version 2, lists in DER or PEM: all of it is read."""
    found = Collateral.from_pcs_parts(sample_parts(INTEL_SGX, lists=lists))
    item = evidence(Family.SGX, read(f"{INTEL_SGX}/quote.dat"), found)
    root = sample_root(INTEL_SGX)
    verified = claims(item, SAMPLE_CLOCK, (root,))

    assert (verified.tcb_status, verified.root_kind) == ("UpToDate", RootKind.TEST)
    assert verified.assurance is Assurance.SIMULATED
    assert datetime(2026, 8, 28, 11, 36, 55, tzinfo=UTC) == verified.collateral_expires
    with pytest.raises(AnchorUnknownError):
        claims(item, SAMPLE_CLOCK)


def test_intels_tdx_sample_is_signed_but_endorses_another_enclave() -> None:
    """Chain, lists, texts and signatures hold under its own root; its identity is another QE's."""
    found = Collateral.from_pcs_parts(sample_parts(INTEL_TDX, lists=".der"))
    blob, root = read(f"{INTEL_TDX}/quote.dat"), sample_root(INTEL_TDX)
    quote = parse_quote(blob)
    endorsed = verify_endorsements(quote, found, anchors=(root,), now=SAMPLE_CLOCK)
    verify_quote_signatures(quote, endorsed.chain[0])

    assert json.loads(found.qe_identity)["mrsigner"] != quote.qe_report.mrsigner.hex()
    with pytest.raises(CollateralMismatchError, match="QE MRSIGNER"):
        claims(evidence(Family.TDX, blob, found), SAMPLE_CLOCK, (root,))


def test_both_verifiers_agree_about_recorded_machines() -> None:
    """dcap-qvl with its own root reaches the same claims, and refuses the same machine."""
    pytest.importorskip("dcap_qvl", reason="SKIPPED: the optional dcap-qvl is not installed")
    old = recorded(Family.TDX, "tdx/dcap-qvl/tdx_quote_outdated")
    newer = dataclasses.replace(old, blob=read(f"{GOOGLE}/quote_v5_sample.dat"))
    items: list[tuple[Any, datetime]] = [
        (real(Family.SGX), NOW),
        (real(Family.TDX), NOW),
        (newer, LATER),
    ]
    for item, now in items:
        engine = verify_with_dcap_qvl(item, anchors=ANCHORS, now=now)
        assert verify_unbound(item, anchors=ANCHORS, now=now) == engine
    with pytest.raises(TCBRefusedError):
        verify_with_dcap_qvl(old, anchors=ANCHORS, now=LATER)

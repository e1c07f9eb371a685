# SPDX-License-Identifier: Apache-2.0
"""Simulated enclaves and TDs of a machine of their own."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from accord.errors import (
    AnchorUnknownError,
    CertificateRevokedError,
    DebugRefusedError,
    SimulatorStateError,
)
from accord.evidence import Attester, Claims, Evidence, RootKind, root_kind, verify_unbound
from accord.policy import Assurance, Family
from accord.testing import SimulatedPlatform, SimulatedSGX, SimulatedTDX, SimulatedVendor

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DATA = bytes(range(64))


@pytest.fixture
def enclave(tmp_path: Path) -> SimulatedSGX:
    return SimulatedSGX.create(tmp_path, now=NOW)


def check(simulated: SimulatedSGX | SimulatedTDX, evidence: Evidence) -> Claims:
    claims, bound = verify_unbound(evidence, anchors=simulated.anchors, now=NOW)

    assert dict(bound) == {"report_data": DATA}
    return claims


def test_an_enclaves_evidence_proves_its_measurements(enclave: SimulatedSGX) -> None:
    """The very same verifier accepts it, under its vendor's test root alone."""
    attester: Attester = enclave
    claims = check(enclave, attester.collect(DATA))

    assert enclave.measurements.items() <= claims.measurements.items()
    assert (claims.family, claims.assurance) == (Family.SGX, Assurance.SIMULATED)
    assert root_kind(enclave.root_digest) is RootKind.TEST


def test_an_enclave_and_a_td_live_on_one_machine(tmp_path: Path, enclave: SimulatedSGX) -> None:
    """Both kinds of evidence name the same hardware; another folder is another machine."""
    td = SimulatedTDX.create(tmp_path, now=NOW)
    other = SimulatedTDX.create(tmp_path / "other", now=NOW)

    assert check(enclave, enclave.collect(DATA)).instance_id == (
        check(td, td.collect(DATA)).instance_id
    )
    assert check(td, td.collect(DATA)).instance_id != check(other, other.collect(DATA)).instance_id
    with pytest.raises(AnchorUnknownError):
        check(td, other.collect(DATA))


def test_what_was_created_can_be_loaded(tmp_path: Path, enclave: SimulatedSGX) -> None:
    """A second start finds the same machine, enclave and keys."""
    again, td = SimulatedSGX.load(tmp_path, now=NOW), SimulatedTDX.load(tmp_path, now=NOW)

    assert enclave.root_digest == again.root_digest == td.root_digest
    assert enclave.seal_key("state") == again.seal_key("state")
    with pytest.raises(SimulatorStateError):
        SimulatedSGX.load(tmp_path / "nowhere", now=NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 5},
        {"version": 5, "td_report": "1.5"},
        {"tee_tcb_svn": bytes((2, 1, 2, *[0] * 13))},
    ],
)
def test_a_td_reports_what_its_hardware_would(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Every format and version can be simulated."""
    td = SimulatedTDX.create(tmp_path, now=NOW)
    claims = check(td, td.collect(DATA, **changes))

    assert claims.attributes["quote_version"] == changes.get("version", 4)
    assert claims.attributes["td_report"] == changes.get("td_report", "1.0")


def test_an_enclave_reports_what_its_signer_said(enclave: SimulatedSGX) -> None:
    """Product and versions are the signer's."""
    claims = check(enclave, enclave.collect(DATA, isv_prod_id=1, isv_svn=2, config_svn=3))
    found = [claims.attributes[name] for name in ("isv_prod_id", "isv_svn", "config_svn")]

    assert found == [1, 2, 3]


def test_a_debug_enclave_is_refused(enclave: SimulatedSGX) -> None:
    """A simulated debug enclave shows as one, and has other keys."""
    debug = SimulatedSGX.on(enclave.platform, debug=True)

    assert enclave.seal_key("state") != debug.seal_key("state")
    with pytest.raises(DebugRefusedError):
        check(debug, debug.collect(DATA))


def test_a_seal_key_follows_code_machine_and_label(tmp_path: Path, enclave: SimulatedSGX) -> None:
    """Another enclave, machine or label obtains another key; so does a TD."""
    other_code = SimulatedSGX(enclave.platform, {**enclave.measurements, "mrenclave": bytes(32)})
    others = [
        enclave.seal_key("other"),
        other_code.seal_key("state"),
        SimulatedSGX.create(tmp_path / "other", now=NOW).seal_key("state"),
        SimulatedTDX.create(tmp_path, now=NOW).seal_key("state"),
    ]

    assert len(enclave.seal_key("state")) == 32
    assert enclave.seal_key("state") not in others
    assert len(set(others)) == 4


def test_a_revoked_machine_has_no_enclaves(tmp_path: Path, enclave: SimulatedSGX) -> None:
    """Revocation shows in the collateral of SGX as in that of TDX."""
    enclave.platform.vendor.revoke(enclave.platform.pck_serial, now=NOW)
    again = SimulatedSGX.load(tmp_path, now=NOW)
    with pytest.raises(CertificateRevokedError):
        check(again, again.collect(DATA))


def test_the_vendors_two_collaterals_share_what_they_can(tmp_path: Path) -> None:
    """Lists and chains are the same; TCB info and QE identity are of SGX or of TDX."""
    vendor = SimulatedVendor.create(tmp_path, now=NOW)
    tdx, sgx = vendor.collateral, vendor.sgx_collateral

    assert (tdx.pck_crl, tdx.tcb_info_issuer_chain) == (sgx.pck_crl, sgx.tcb_info_issuer_chain)
    assert tdx.tcb_info != sgx.tcb_info
    assert sgx == SimulatedVendor.load(tmp_path, now=NOW).sgx_collateral


def test_report_data_of_another_size_are_a_bug_of_the_caller(enclave: SimulatedSGX) -> None:
    """There are exactly 64 bytes of report data."""
    with pytest.raises(ValueError, match="64 bytes"):
        enclave.collect(b"short")


def test_no_secret_shows_when_printed(enclave: SimulatedSGX) -> None:
    """An enclave does not spell its machine's secrets."""
    text = f"{enclave!r} {enclave.platform!r}"

    assert repr(enclave.platform.seal_secret) not in text
    assert "PrivateKey" not in text
    assert SimulatedPlatform.__name__ in text

# SPDX-License-Identifier: Apache-2.0
"""Recorded evidence of NVIDIA GPUs: nine Hopper reports, and two reference manifests."""

import base64
import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.recorded import EVIDENCE, needs_evidence

from accord.encoding import sha256
from accord.errors import (
    AccordError,
    AnchorUnknownError,
    ChainInvalidError,
    CollateralMismatchError,
    EvidenceExpiredError,
    EvidenceSignatureError,
    ReferenceMismatchError,
)
from accord.evidence import Evidence, RootKind, Verified, verify_unbound
from accord.evidence._certificate import load_certificates
from accord.evidence.nvidia import DEVICE_ROOT, MANIFEST_ROOT
from accord.evidence.nvidia._manifests import compare, verify_manifest
from accord.evidence.nvidia._rim import load_manifest
from accord.evidence.nvidia._spdm import parse_report
from accord.policy import Assurance, Family

pytestmark = needs_evidence

HOME = EVIDENCE / "nvidia" / "nvtrust"
DRIVER = "Driver_RIM_test_no_gpu.swidtag"
VBIOS = "1010_0200_882_96005E0001_PROD.swidtag"
COVERS = {
    "nvidia/nvtrust/hopperAttestationReport.txt": "verifies, production",
    "nvidia/nvtrust/hopperCertChain.txt": "verifies, production",
    "nvidia/nvtrust/gpu_evidence.json": "eight GPUs verify, production",
    "nvidia/nvtrust/verifier_device_root.pem": "is the pinned root of devices",
    "nvidia/nvtrust/verifier_RIM_root.pem": "is the pinned root of manifests",
    "nvidia/nvtrust/Driver_RIM_test_no_gpu.swidtag": "signed, valid then, of another driver",
    "nvidia/nvtrust/1010_0200_882_96005E0001_PROD.swidtag": "signed, valid then, of another VBIOS",
}
ANCHORS = (DEVICE_ROOT, MANIFEST_ROOT)
NOW = datetime(2025, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 1, tzinfo=UTC)


def read(name: str) -> bytes:
    return (HOME / name).read_bytes()


def hopper(**endorsements: bytes) -> Evidence:
    blob = bytes.fromhex(read("hopperAttestationReport.txt").decode().strip())
    return Evidence(
        Family.NVIDIA, blob, {"certificate_chain": read("hopperCertChain.txt"), **endorsements}
    )


def check(evidence: Evidence, *, now: datetime = NOW) -> Verified:
    return verify_unbound(evidence, anchors=ANCHORS, now=now)


def gpus() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(read("gpu_evidence.json"))
    return found


def evidence_of(gpu: dict[str, Any]) -> Evidence:
    return Evidence(
        Family.NVIDIA,
        base64.b64decode(gpu["evidence"]),
        {"certificate_chain": base64.b64decode(gpu["certificate"])},
    )


@pytest.mark.parametrize(
    ("name", "root"),
    [("verifier_device_root.pem", DEVICE_ROOT), ("verifier_RIM_root.pem", MANIFEST_ROOT)],
)
def test_nvidias_published_roots_are_the_pinned_ones(name: str, root: str) -> None:
    """By the bytes of the certificate."""
    assert [item.digest for item in load_certificates(read(name), what=name)] == [root]


def test_a_hopper_gpu_verifies() -> None:
    """Report and chain of a real H100."""
    claims, bound = check(hopper())
    assert claims.root_kind is RootKind.PRODUCTION
    assert claims.assurance is Assurance.TPM
    assert claims.attributes["driver_version"] == "550.90.07"
    assert claims.attributes["vbios_version"] == "96.00.9F.00.01"
    assert claims.attributes["hwmodel"] == "GH100 A01 GSP BROM"
    assert claims.attributes["rim_compared"] is False
    assert claims.instance_id.hex() == "41431d480fe5e87274"
    assert claims.measurements["fwid"].hex().startswith("f5c384ae")
    assert bound["nvidia"].hex().startswith("931d8dd0add203ac")


def test_eight_gpus_of_one_machine_verify() -> None:
    """With the nonce, driver, VBIOS and mode that the file says they have."""
    seen = set()
    for gpu in gpus():
        claims, bound = check(evidence_of(gpu))
        assert bound["nvidia"].hex() == gpu["nonce"]
        assert claims.attributes["driver_version"] == gpu["driver_version"]
        assert claims.attributes["vbios_version"] == gpu["vbios_version"]
        assert claims.attributes["architecture"] == gpu["arch"].lower()
        assert claims.attributes["mode"] == "ppcie"
        seen.add(claims.instance_id)
    assert len(seen) == 8


def test_a_report_with_the_chain_of_another_gpu_is_refused() -> None:
    """Eight chains, each for one report."""
    one, other = (evidence_of(gpu) for gpu in gpus()[:2])
    with pytest.raises(EvidenceSignatureError):
        check(dataclasses.replace(one, endorsements=other.endorsements))


def test_a_chain_without_its_root_is_refused() -> None:
    """Nobody completes it."""
    pem = read("hopperCertChain.txt")
    short = pem[: pem.rindex(b"-----BEGIN")]
    with pytest.raises(ChainInvalidError):
        check(dataclasses.replace(hopper(), endorsements={"certificate_chain": short}))


def test_the_root_of_manifests_anchors_no_device() -> None:
    """Each root stands for one thing."""
    with pytest.raises(AnchorUnknownError):
        verify_unbound(hopper(), anchors=[MANIFEST_ROOT], now=NOW)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(at=st.integers(0, 4116), bit=st.integers(0, 7))
def test_every_byte_of_a_real_report_counts(at: int, bit: int) -> None:
    """A flipped bit anywhere is refused."""
    evidence = hopper()
    blob = bytearray(evidence.blob)
    blob[at] ^= 1 << bit
    with pytest.raises(AccordError):
        check(dataclasses.replace(evidence, blob=bytes(blob)))


@pytest.mark.parametrize(
    ("name", "version", "active"), [(DRIVER, "545.00", 21), (VBIOS, "96.00.5E.00.01", 12)]
)
def test_a_real_manifest_is_signed_by_nvidia(name: str, version: str, active: int) -> None:
    """Signature, chain to the pinned root, and as many measurements as are active in it."""
    manifest = verify_manifest(
        read(name), None, what=name, device_root=DEVICE_ROOT, anchors=ANCHORS, now=NOW
    ).manifest
    assert (manifest.product, manifest.version) == ("GH100", version)
    assert len(manifest.references) == active


@pytest.mark.parametrize("name", [DRIVER, VBIOS])
def test_a_real_manifest_expires_with_its_signer(name: str) -> None:
    """Both signers' certificates ended in June 2025."""
    with pytest.raises(EvidenceExpiredError):
        verify_manifest(
            read(name), None, what=name, device_root=DEVICE_ROOT, anchors=ANCHORS, now=LATER
        )


@pytest.mark.parametrize("name", [DRIVER, VBIOS])
def test_a_changed_real_manifest_is_refused(name: str) -> None:
    """One digit of a reference value."""
    data = read(name)
    at = data.index(b'active="True"')
    at = data.index(b"Hash0=", at) + 10
    changed = data[:at] + (b"1" if data[at : at + 1] != b"1" else b"2") + data[at + 1 :]
    with pytest.raises(EvidenceSignatureError):
        load_manifest(changed, what=name)


@pytest.mark.parametrize(
    ("name", "endorsement", "field"),
    [(DRIVER, "driver_rim", "driver version"), (VBIOS, "vbios_rim", "vbios version")],
)
def test_a_manifest_of_another_version_is_refused(name: str, endorsement: str, field: str) -> None:
    """Genuine, but neither is of the versions that the recorded GPU runs."""
    with pytest.raises(CollateralMismatchError, match=field):
        check(hopper(**{endorsement: read(name)}))


@pytest.mark.parametrize(("name", "endorsement"), [(DRIVER, "driver_rim"), (VBIOS, "vbios_rim")])
def test_the_measurements_of_another_version_differ(name: str, endorsement: str) -> None:
    """That is what the version check saves: the values themselves do not match either."""
    report = parse_report(hopper().blob)
    version = report.opaque.driver_version if name == DRIVER else report.opaque.vbios_version
    manifest = load_manifest(read(name), what=name).manifest
    renamed = dataclasses.replace(manifest, version=version or "")
    with pytest.raises(ReferenceMismatchError):
        compare(report, "GH100", {endorsement: renamed})


def test_the_roots_of_the_chains_are_in_the_evidence_itself() -> None:
    """Nothing but the evidence is needed to compute what to pin."""
    chain = load_certificates(read("hopperCertChain.txt"), what="chain")
    assert sha256(chain[-1].der) == DEVICE_ROOT
    assert sha256(load_manifest(read(DRIVER), what="driver").chain[-1].der) == MANIFEST_ROOT

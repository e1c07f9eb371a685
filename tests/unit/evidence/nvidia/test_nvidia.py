# SPDX-License-Identifier: Apache-2.0
"""Verification of NVIDIA evidence: the good path, and attacks on each step."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accord.encoding import Digest, sha256
from accord.errors import (
    AccordError,
    AnchorUnknownError,
    AppraisalError,
    BindingMismatchError,
    ChainInvalidError,
    CollateralMismatchError,
    EvidenceExpiredError,
    EvidenceMalformedError,
    EvidenceSignatureError,
    ReferenceMismatchError,
    SimulatorStateError,
)
from accord.evidence import (
    PRODUCTION_ROOTS,
    Binding,
    Claims,
    Evidence,
    Purpose,
    Role,
    RootKind,
    appraise,
    link,
    parse,
    verify,
    verify_unbound,
)
from accord.evidence.nvidia import (
    DEVICE_ROOT,
    MANIFEST_ROOT,
    Manifest,
    NVIDIAEvidence,
    _manifests,
)
from accord.evidence.nvidia import _verify as verifier
from accord.evidence.nvidia._spdm import parse_report
from accord.policy import FAMILIES, Assurance, AttestationVariant, Family
from accord.testing import SimulatedNVIDIA
from accord.testing._nvidia import _certificate, _issue_chain, _pem
from accord.testing._nvidia_report import GPUFirmware, dice_identity, write_report

NOW = datetime.now(UTC)
BINDING = Binding(Purpose.RELEASE, Role.SHIELD, bytes(32), bytes(32), None, bytes(32))
REPORT_DATA = BINDING.report_data()
FIRMWARE = GPUFirmware()
FEW = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check(gpu: SimulatedNVIDIA, evidence: Evidence, *, now: datetime = NOW) -> Claims:
    return verify(evidence, anchors=gpu.anchors, now=now, binding=BINDING)


def endorsed(gpu: SimulatedNVIDIA, **changes: bytes | None) -> Mapping[str, bytes]:
    """The endorsements of ``gpu``, some of them replaced, or left out."""
    given = dict(gpu.collect(REPORT_DATA).endorsements) | changes
    return {name: value for name, value in given.items() if value is not None}


def test_good_evidence_proves_chip_firmware_and_driver(gpu: SimulatedNVIDIA) -> None:
    """All 64 measurements, versions, the device, and that NVIDIA's references were met."""
    claims = check(gpu, gpu.collect(REPORT_DATA))
    assert claims.attributes["rim_compared"] is True
    assert claims.attributes["driver_version"] == FIRMWARE.driver_version
    assert claims.attributes["driver_branch"] == 550
    assert claims.attributes["vbios_version"] == FIRMWARE.vbios_version
    assert claims.attributes["architecture"] == "hopper"
    assert claims.attributes["hwmodel"] == "GH100 A01 GSP BROM"
    assert claims.attributes["mode"] == "spt"
    assert claims.measurements["fwid"] == FIRMWARE.fwid
    assert claims.measurements["block02"] == FIRMWARE.blocks()[2]
    assert claims.instance_id == gpu.device_chain[0].serial_number.to_bytes(9, "big")
    assert claims.root == gpu.root_digest
    assert not claims.debug
    assert claims.assurance is Assurance.SIMULATED
    assert [item.what for item in claims.chain][-1] == "NVIDIA Device Identity CA"


def test_claims_have_only_names_that_a_policy_can_use(gpu: SimulatedNVIDIA) -> None:
    """Sizes and types too; a GPU of today fills nearly all of them."""
    claims, fields = check(gpu, gpu.collect(REPORT_DATA)), FAMILIES[Family.NVIDIA]
    assert claims.measurements.keys() == fields.measurements.keys()
    assert claims.attributes.keys() == fields.attributes.keys()
    assert all(
        len(claims.measurements[name]) in sizes for name, sizes in fields.measurements.items()
    )
    assert all(type(claims.attributes[name]) is kind for name, kind in fields.attributes.items())


def test_the_nonce_is_linked_to_what_was_asked(gpu: SimulatedNVIDIA) -> None:
    """32 bytes, derived from all 64 for this family alone."""
    bound = verify_unbound(gpu.collect(REPORT_DATA), anchors=gpu.anchors, now=NOW).bound
    assert dict(bound) == {"nvidia": link("nvidia", REPORT_DATA)}


def test_a_replayed_report_is_refused(gpu: SimulatedNVIDIA) -> None:
    """Made for another nonce."""
    with pytest.raises(BindingMismatchError):
        check(gpu, gpu.collect(bytes(64)))


def test_without_manifests_nothing_was_compared(gpu: SimulatedNVIDIA) -> None:
    """Evidence stands, but the safe default of a policy refuses it."""
    claims = check(
        gpu, gpu.collect(REPORT_DATA, endorsements=endorsed(gpu, driver_rim=None, vbios_rim=None))
    )
    assert claims.attributes["rim_compared"] is False
    assert FAMILIES[Family.NVIDIA].defaults["rim_compared"] == (True,)


@pytest.mark.parametrize("name", ["driver_rim", "vbios_rim"])
def test_one_manifest_of_two_is_not_enough(gpu: SimulatedNVIDIA, name: str) -> None:
    """A GPU's driver and its VBIOS both count."""
    claims = check(gpu, gpu.collect(REPORT_DATA, endorsements=endorsed(gpu, **{name: None})))
    assert claims.attributes["rim_compared"] is False


def variant(**changes: object) -> AttestationVariant:
    base = AttestationVariant(
        family=Family.NVIDIA,
        simulated=True,
        measurements={},
        tcb_statuses=(),
        min_tcb_evaluation_number=0,
        attributes={"driver_version": ("550.90.07",), "vbios_version": ("96.00.9F.00.01",)},
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def test_a_policy_for_hardware_refuses_a_simulation(gpu: SimulatedNVIDIA) -> None:
    """A test root is never production."""
    claims = check(gpu, gpu.collect(REPORT_DATA))
    assert appraise(claims, [variant()], now=NOW).variant == 0
    with pytest.raises(AppraisalError):
        appraise(claims, [variant(simulated=False)], now=NOW)


# Step (1): bytes and attachments.


@pytest.mark.parametrize("change", [{"certificate_chain": None}, {"ocsp": b""}])
def test_missing_and_unknown_attachments_are_refused(
    gpu: SimulatedNVIDIA, change: dict[str, bytes | None]
) -> None:
    """The chain is needed; nothing that is not understood comes along."""
    with pytest.raises(EvidenceMalformedError):
        check(gpu, gpu.collect(REPORT_DATA, endorsements=endorsed(gpu, **change)))


def test_auxiliary_data_are_refused(gpu: SimulatedNVIDIA) -> None:
    """The family has none."""
    with pytest.raises(EvidenceMalformedError):
        check(gpu, dataclasses.replace(gpu.collect(REPORT_DATA), aux={"x": b""}))


# Steps (2) and (3): the device's chain.


def test_a_look_alike_root_is_refused(gpu: SimulatedNVIDIA, tmp_path: Path) -> None:
    """The same names, another key."""
    other = SimulatedNVIDIA.create(tmp_path)
    with pytest.raises(AnchorUnknownError):
        check(gpu, other.collect(REPORT_DATA))


def test_the_manifests_root_makes_no_devices(gpu: SimulatedNVIDIA) -> None:
    """It is pinned too, but a chain that ends there is too short for a device's."""
    chain = _pem(*gpu.manifest_chain).encode()
    with pytest.raises(ChainInvalidError):
        check(gpu, gpu.collect(REPORT_DATA, endorsements=endorsed(gpu, certificate_chain=chain)))


def test_another_vendors_production_root_makes_no_devices(
    gpu: SimulatedNVIDIA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anchors are one list for all families."""
    monkeypatch.setattr(verifier, "root_kind", lambda _root: RootKind.PRODUCTION)
    with pytest.raises(AnchorUnknownError, match=DEVICE_ROOT):
        check(gpu, gpu.collect(REPORT_DATA))


def test_a_leaf_that_is_an_authority_is_refused(gpu: SimulatedNVIDIA) -> None:
    """Five certificates, but no attestation key at their end."""
    names = ("GH100 A01 GSP BROM", "GH100 A01 GSP BROM", "a", "b", "c")
    chain = _issue_chain(gpu.attestation, names, NOW - timedelta(days=1), leaf_is_ca=True)
    anchors = (sha256(chain[-1].public_bytes(Encoding.DER)),)
    evidence = gpu.collect(REPORT_DATA, endorsements={"certificate_chain": _pem(*chain).encode()})
    with pytest.raises(ChainInvalidError, match="leaf"):
        verify(evidence, anchors=anchors, now=NOW, binding=BINDING)


@pytest.mark.parametrize("days", [-2, 3660])
def test_outside_of_its_period_a_chain_is_refused(gpu: SimulatedNVIDIA, days: int) -> None:
    """Neither before nor after."""
    with pytest.raises(EvidenceExpiredError):
        check(gpu, gpu.collect(REPORT_DATA), now=NOW + timedelta(days=days))


# Step (4): the report's signature.


def test_a_report_by_another_key_is_refused(gpu: SimulatedNVIDIA) -> None:
    """The device's own key signs certificates alone."""
    blob = write_report(
        gpu.device, link("nvidia", REPORT_DATA), FIRMWARE.blocks(), FIRMWARE.opaque()
    )
    with pytest.raises(EvidenceSignatureError):
        check(gpu, Evidence(Family.NVIDIA, blob, endorsed(gpu)))


def test_a_key_on_another_curve_is_refused(gpu: SimulatedNVIDIA) -> None:
    """Reports are signed on P-384, and in no other way."""
    leaf = _certificate(
        "GH100 A01 GSP FMC LF",
        ec.generate_private_key(ec.SECP256R1()).public_key(),
        gpu.device_chain[0],
        gpu.device,
        start=gpu.device_chain[0].not_valid_before_utc,
    )
    chain = _pem(leaf, *gpu.device_chain).encode()
    with pytest.raises(ChainInvalidError, match="P-384"):
        check(gpu, gpu.collect(REPORT_DATA, endorsements=endorsed(gpu, certificate_chain=chain)))


def test_firmware_that_nobody_names_is_not_claimed(gpu: SimulatedNVIDIA) -> None:
    """Neither report nor certificate says which it is."""
    opaque = FIRMWARE.opaque()
    del opaque[20]
    blob = write_report(gpu.attestation, link("nvidia", REPORT_DATA), FIRMWARE.blocks(), opaque)
    chain = gpu.chain(FIRMWARE, dice=b"")
    claims = check(gpu, Evidence(Family.NVIDIA, blob, endorsed(gpu, certificate_chain=chain)))
    assert "fwid" not in claims.measurements


@FEW
@given(at=st.integers(0, 4200), bit=st.integers(0, 7))
def test_every_byte_of_a_report_counts(gpu: SimulatedNVIDIA, at: int, bit: int) -> None:
    """Request, measurements, what the firmware says, signature."""
    evidence = gpu.collect(REPORT_DATA, endorsements=endorsed(gpu, driver_rim=None, vbios_rim=None))
    changed = bytearray(evidence.blob)
    changed[at % len(changed)] ^= 1 << bit
    with pytest.raises(AccordError):
        check(gpu, dataclasses.replace(evidence, blob=bytes(changed)))


# Steps (5) and (6): the firmware's identity.


def test_firmware_other_than_the_certified_is_refused(gpu: SimulatedNVIDIA) -> None:
    """The report names firmware that does not hold the key."""
    with pytest.raises(CollateralMismatchError, match="firmware id"):
        check(gpu, gpu.collect(REPORT_DATA, opaque={20: bytes(48)}))


def test_firmware_that_no_certificate_names_is_refused(gpu: SimulatedNVIDIA) -> None:
    """A leaf without the DICE extension."""
    chain = gpu.chain(FIRMWARE, dice=b"")
    with pytest.raises(CollateralMismatchError, match="firmware id"):
        check(gpu, gpu.collect(REPORT_DATA, endorsements=endorsed(gpu, certificate_chain=chain)))


def test_debuggable_firmware_is_claimed_as_such(gpu: SimulatedNVIDIA) -> None:
    """No policy admits it."""
    fwid = bytes.fromhex("303d06096086480165030402020430") + FIRMWARE.fwid
    members = bytes((0xA6, len(fwid))) + fwid + bytes.fromhex("8705009000 0001".replace(" ", ""))
    chain = gpu.chain(FIRMWARE, dice=bytes((0x30, len(members))) + members)
    claims = check(
        gpu, gpu.collect(REPORT_DATA, endorsements=endorsed(gpu, certificate_chain=chain))
    )
    assert claims.debug
    with pytest.raises(AppraisalError, match="debug"):
        appraise(claims, [variant()], now=NOW)


# Steps (8) and (9): manifests.


def test_a_manifest_of_another_maker_is_refused(gpu: SimulatedNVIDIA, tmp_path: Path) -> None:
    """Its root is not pinned."""
    forged = SimulatedNVIDIA.create(tmp_path).manifest(FIRMWARE, "driver_rim")
    with pytest.raises(AnchorUnknownError):
        check(gpu, gpu.collect(REPORT_DATA, endorsements=endorsed(gpu, driver_rim=forged)))


def test_a_device_may_not_sign_manifests(gpu: SimulatedNVIDIA) -> None:
    """A GPU's attestation key has a chain to a pinned root as well."""
    leaf = _certificate(
        "GH100 A01 GSP FMC LF",
        gpu.attestation.public_key(),
        gpu.device_chain[0],
        gpu.device,
        start=gpu.device_chain[0].not_valid_before_utc,
    )
    rogue = dataclasses.replace(
        gpu, manifests=gpu.attestation, manifest_chain=(leaf, *gpu.device_chain)
    )
    forged = rogue.manifest(FIRMWARE, "vbios_rim")
    with pytest.raises(AnchorUnknownError):
        check(gpu, gpu.collect(REPORT_DATA, endorsements=endorsed(gpu, vbios_rim=forged)))


def test_a_manifests_signer_may_not_be_an_authority(gpu: SimulatedNVIDIA) -> None:
    """An authority signs certificates alone."""
    start = NOW - timedelta(days=1)
    chain = _issue_chain(gpu.manifests, ("a", "b"), start, leaf_is_ca=True)
    forged = dataclasses.replace(gpu, manifest_chain=chain).manifest(FIRMWARE, "vbios_rim")
    anchors = (*gpu.anchors, sha256(chain[-1].public_bytes(Encoding.DER)))
    evidence = gpu.collect(REPORT_DATA, endorsements=endorsed(gpu, vbios_rim=forged))
    with pytest.raises(ChainInvalidError, match="signer"):
        verify(evidence, anchors=anchors, now=NOW, binding=BINDING)


@pytest.mark.parametrize("kind", [RootKind.PRODUCTION, RootKind.TEST])
def test_test_roots_and_production_roots_do_not_mix(
    gpu: SimulatedNVIDIA, monkeypatch: pytest.MonkeyPatch, kind: RootKind
) -> None:
    """A test root vouches for no real device's firmware, nor the other way round."""
    other = RootKind.TEST if kind is RootKind.PRODUCTION else RootKind.PRODUCTION

    def pretended(root: Digest) -> RootKind:
        return kind if root == gpu.root_digest else other

    monkeypatch.setattr(_manifests, "root_kind", pretended)
    with pytest.raises(AnchorUnknownError):
        check(gpu, gpu.collect(REPORT_DATA))


def test_only_the_root_of_manifests_vouches_for_production(
    gpu: SimulatedNVIDIA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other vendor's production root does."""
    monkeypatch.setattr(_manifests, "root_kind", lambda _root: RootKind.PRODUCTION)
    with pytest.raises(AnchorUnknownError, match=MANIFEST_ROOT):
        check(gpu, gpu.collect(REPORT_DATA))


def test_a_manifest_may_leave_its_root_to_us(gpu: SimulatedNVIDIA) -> None:
    """Then the root's certificate comes along, in either form."""
    short = dataclasses.replace(gpu, manifest_chain=gpu.manifest_chain[:-1])
    root = gpu.manifest_chain[-1]
    for form in (Encoding.PEM, Encoding.DER):
        given = endorsed(
            gpu,
            driver_rim=short.manifest(FIRMWARE, "driver_rim"),
            rim_root=root.public_bytes(form),
        )
        claims = check(gpu, gpu.collect(REPORT_DATA, endorsements=given))
        assert claims.attributes["rim_compared"] is True


def test_without_its_root_a_manifest_is_refused(gpu: SimulatedNVIDIA) -> None:
    """Its last certificate is no pinned root."""
    short = dataclasses.replace(gpu, manifest_chain=gpu.manifest_chain[:-1])
    given = endorsed(gpu, driver_rim=short.manifest(FIRMWARE, "driver_rim"))
    with pytest.raises(AnchorUnknownError):
        check(gpu, gpu.collect(REPORT_DATA, endorsements=given))


def test_several_roots_of_manifests_are_refused(gpu: SimulatedNVIDIA) -> None:
    """There is one."""
    short = dataclasses.replace(gpu, manifest_chain=gpu.manifest_chain[:-1])
    given = endorsed(
        gpu,
        driver_rim=short.manifest(FIRMWARE, "driver_rim"),
        rim_root=2 * gpu.manifest_chain[-1].public_bytes(Encoding.PEM),
    )
    with pytest.raises(EvidenceMalformedError):
        check(gpu, gpu.collect(REPORT_DATA, endorsements=given))


def test_an_expired_manifest_is_refused(gpu: SimulatedNVIDIA) -> None:
    """Its signer's certificate is judged at the same moment as the device's."""
    chain = _issue_chain(gpu.manifests, ("a", "b"), NOW - timedelta(days=3652))
    old = dataclasses.replace(gpu, manifest_chain=chain).manifest(FIRMWARE, "vbios_rim")
    anchors = (*gpu.anchors, sha256(chain[-1].public_bytes(Encoding.DER)))
    evidence = gpu.collect(REPORT_DATA, endorsements=endorsed(gpu, vbios_rim=old))
    with pytest.raises(EvidenceExpiredError):
        verify(evidence, anchors=anchors, now=NOW, binding=BINDING)


# Steps (10) to (12): comparison.


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("driver_rim", {"driver_version": "560.35.03"}),
        ("vbios_rim", {"vbios_version": "96.00.5E.00.01"}),
        ("vbios_rim", {"chip": "GB100"}),
    ],
)
def test_a_manifest_for_something_else_is_refused(
    gpu: SimulatedNVIDIA, name: str, change: dict[str, str]
) -> None:
    """Another driver, another VBIOS, another architecture: genuine, but of no use."""
    other = gpu.manifest(dataclasses.replace(FIRMWARE, **change), name)  # type: ignore[arg-type]
    with pytest.raises(CollateralMismatchError):
        check(gpu, gpu.collect(REPORT_DATA, endorsements=endorsed(gpu, **{name: other})))


@pytest.mark.parametrize("name", ["driver_rim", "vbios_rim"])
def test_a_version_that_is_not_reported_matches_no_manifest(
    gpu: SimulatedNVIDIA, name: str
) -> None:
    """A report may leave it out; a manifest never does."""
    opaque = FIRMWARE.opaque()
    del opaque[3 if name == "driver_rim" else 6]
    blob = write_report(gpu.attestation, link("nvidia", REPORT_DATA), FIRMWARE.blocks(), opaque)
    with pytest.raises(CollateralMismatchError, match="not reported"):
        check(gpu, Evidence(Family.NVIDIA, blob, endorsed(gpu)))


@pytest.mark.parametrize("block", [2, 13, 22, 41])
def test_firmware_that_nvidia_did_not_release_is_refused(gpu: SimulatedNVIDIA, block: int) -> None:
    """One measurement differs: a changed driver or VBIOS, or a GPU in developer mode."""
    with pytest.raises(ReferenceMismatchError, match=f"block {block} "):
        check(gpu, gpu.collect(REPORT_DATA, blocks={block: b"\xee" * 48}))


def test_a_measurement_that_is_missing_is_refused(gpu: SimulatedNVIDIA) -> None:
    """A manifest expects it, the report leaves it out."""
    blocks = FIRMWARE.blocks()
    del blocks[13]
    blob = write_report(gpu.attestation, link("nvidia", REPORT_DATA), blocks, FIRMWARE.opaque())
    with pytest.raises(ReferenceMismatchError, match="absent"):
        check(gpu, Evidence(Family.NVIDIA, blob, endorsed(gpu)))


def test_a_measurement_in_both_manifests_is_refused(gpu: SimulatedNVIDIA) -> None:
    """It would not be clear whose value counts."""
    report = parse_report(gpu.collect(REPORT_DATA).blob)
    driver = parse_manifests(gpu)["driver_rim"]
    both = {
        "driver_rim": driver,
        "vbios_rim": dataclasses.replace(driver, version=FIRMWARE.vbios_version),
    }
    with pytest.raises(CollateralMismatchError, match="both"):
        _manifests.compare(report, "GH100", both)


def parse_manifests(gpu: SimulatedNVIDIA) -> Mapping[str, Manifest]:
    parsed = parse(gpu.collect(REPORT_DATA))
    if not isinstance(parsed, NVIDIAEvidence):
        raise TypeError(parsed)
    return parsed.manifests


def test_explain_takes_report_and_manifests_apart(gpu: SimulatedNVIDIA) -> None:
    """Nothing is verified to be shown."""
    assert parse_manifests(gpu).keys() == {"driver_rim", "vbios_rim"}


@pytest.mark.parametrize(("nvdec0", "matches"), [(b"\x55", True), (b"\xaa", False), (b"\0", False)])
def test_measurement_35_only_counts_where_its_engine_is_enabled(
    gpu: SimulatedNVIDIA, nvdec0: bytes, *, matches: bool
) -> None:
    """As NVIDIA's own verifier; an unknown state does not excuse it."""
    evidence = gpu.collect(REPORT_DATA, blocks={36: bytes(48)}, opaque={11: nvdec0})
    if matches:
        assert check(gpu, evidence).attributes["rim_compared"] is True
        return
    with pytest.raises(ReferenceMismatchError):
        check(gpu, evidence)


def test_any_alternative_of_a_reference_value_matches(gpu: SimulatedNVIDIA) -> None:
    """Manifests list several values where several are good."""
    report = parse_report(gpu.collect(REPORT_DATA).blob)
    manifest = parse_manifests(gpu)["vbios_rim"]
    good = manifest.references[1]
    several = dataclasses.replace(good, values=(bytes(48), *good.values))
    _manifests.compare(
        report, "GH100", {"vbios_rim": dataclasses.replace(manifest, references={1: several})}
    )
    nothing = dataclasses.replace(good, values=())
    with pytest.raises(ReferenceMismatchError, match="nothing"):
        _manifests.compare(
            report, "GH100", {"vbios_rim": dataclasses.replace(manifest, references={1: nothing})}
        )


def test_a_switch_needs_no_driver_manifest(gpu: SimulatedNVIDIA) -> None:
    """It has no driver; its report names neither driver nor firmware digest."""
    names = ("LS_10 A01 FSP BROM", "LS_10 Provisioner ICA 1", "GH100 Identity", "Device CA")
    chain = _issue_chain(gpu.device, names, NOW - timedelta(days=1), leaf_is_ca=True)
    switch = dataclasses.replace(gpu, device_chain=chain)
    firmware = dataclasses.replace(FIRMWARE, chip="LS10")
    opaque = {6: FIRMWARE.vbios_version.encode(), 22: bytes(8), 26: bytes(128)}
    blob = write_report(gpu.attestation, link("nvidia", REPORT_DATA), firmware.blocks(), opaque)
    evidence = Evidence(
        Family.NVIDIA,
        blob,
        {
            "certificate_chain": switch.chain(firmware),
            "vbios_rim": switch.manifest(firmware, "vbios_rim"),
        },
    )
    claims = verify(evidence, anchors=switch.anchors, now=NOW, binding=BINDING)
    assert claims.attributes["architecture"] == "nvswitch"
    assert claims.attributes["rim_compared"] is True
    assert "driver_version" not in claims.attributes
    assert claims.measurements["fwid"] == firmware.fwid


# The simulator.


def test_the_simulator_keeps_its_gpu(tmp_path: Path) -> None:
    """Created twice, it is the same GPU of the same maker."""
    one = SimulatedNVIDIA.create(tmp_path)
    again = SimulatedNVIDIA.create(tmp_path)
    assert one.anchors == again.anchors
    assert check(one, again.collect(REPORT_DATA)).root_kind is RootKind.TEST


def test_a_damaged_simulator_is_refused(tmp_path: Path) -> None:
    """Its folder is whole, or it is deleted."""
    SimulatedNVIDIA.create(tmp_path)
    (tmp_path / "nvidia.secret.json").write_text('{"schema": "x"}')
    with pytest.raises(SimulatorStateError):
        SimulatedNVIDIA.load(tmp_path)


def test_nvidias_roots_are_production_roots() -> None:
    """Both, each for its purpose."""
    assert {DEVICE_ROOT, MANIFEST_ROOT} <= PRODUCTION_ROOTS.keys()


def test_the_identity_is_written_as_hopper_writes_it(gpu: SimulatedNVIDIA) -> None:
    """189 bytes: version, key, firmware digest."""
    assert len(dice_identity(gpu.attestation, bytes(48))) == 189

# SPDX-License-Identifier: Apache-2.0
"""PSA tokens of the simulated device: all profiles, and what is refused of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import (
    AccordError,
    AnchorUnknownError,
    BindingMismatchError,
    EvidenceMalformedError,
    EvidenceSignatureError,
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
    parse,
    verify,
)
from accord.evidence.arm import parse_psa, verify_psa
from accord.policy import FAMILIES, Assurance, Family
from accord.testing import SimulatedPSA
from accord.testing._cose import sign1, spki
from accord.testing._psa import PSA_2_0_0, PSA_IOT_1, RFC_9783

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BINDING = Binding(Purpose.CHANNEL, Role.SHIELD, bytes(32), bytes(32), None, bytes(32))
REPORT_DATA = BINDING.report_data()
PROFILES = [RFC_9783, PSA_2_0_0, PSA_IOT_1]
HASH = bytes(range(32))


def claims_of(psa: SimulatedPSA, **options: Any) -> Claims:
    """What a token says that was collected with ``options``."""
    evidence = psa.collect(REPORT_DATA, **options)
    return verify(evidence, anchors=psa.anchors, now=NOW, binding=BINDING)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("short_nonce", [False, True])
def test_tokens_of_every_profile_verify(
    psa: SimulatedPSA, profile: str, *, short_nonce: bool
) -> None:
    """With the nonce as it is, and with one of 32 bytes that is linked to it."""
    claims = claims_of(psa, profile=profile, short_nonce=short_nonce)

    assert claims.measurements == psa.measurements
    assert claims.components == psa.components
    assert claims.instance_id == psa.measurements["instance_id"]
    assert claims.attributes["profile"] == profile
    assert (claims.root, claims.root_kind) == (psa.root_digest, RootKind.TEST)
    assert (claims.assurance, claims.debug, claims.tcb) == (Assurance.SIMULATED, False, None)
    assert [item.what for item in claims.chain] == ["initial attestation key"]
    assert claims.collateral_expires is None


def test_every_claim_is_appraisable_and_nothing_else(psa: SimulatedPSA) -> None:
    """Names, sizes and types are those that a policy knows."""
    known, claims = FAMILIES[Family.PSA], claims_of(psa)

    assert claims.measurements.keys() == known.measurements.keys()
    assert all(
        len(claims.measurements[name]) in known.measurements[name] for name in known.measurements
    )
    assert {name: type(value) for name, value in claims.attributes.items()} == known.attributes
    assert all(claims.attributes[name] in known.defaults[name] for name in known.defaults)


def test_a_simulated_device_never_counts_as_hardware(psa: SimulatedPSA) -> None:
    """Its key is no vendor's."""
    assert psa.root_digest not in PRODUCTION_ROOTS
    with pytest.raises(AnchorUnknownError):
        verify(psa.collect(REPORT_DATA), anchors=list(PRODUCTION_ROOTS), now=NOW, binding=BINDING)


def test_the_state_is_kept(tmp_path: Path) -> None:
    """Creating twice gives one device; a damaged state is refused."""
    first = SimulatedPSA.create(tmp_path)

    assert SimulatedPSA.create(tmp_path).root_digest == first.root_digest
    assert SimulatedPSA.load(tmp_path).root_digest == first.root_digest
    (tmp_path / "psa.secret.json").write_text("{}")
    with pytest.raises(SimulatorStateError):
        SimulatedPSA.load(tmp_path)


@pytest.mark.parametrize("short_nonce", [False, True])
def test_a_replayed_token_is_refused(psa: SimulatedPSA, *, short_nonce: bool) -> None:
    """It was made for another nonce."""
    other = replace(BINDING, nonce=bytes([1]) * 32)
    evidence = psa.collect(other.report_data(), short_nonce=short_nonce)

    with pytest.raises(BindingMismatchError):
        verify(evidence, anchors=psa.anchors, now=NOW, binding=BINDING)


def test_a_nonce_of_48_bytes_is_bound_to_nothing_of_ours(psa: SimulatedPSA) -> None:
    """The profile allows it; no binding has that size."""
    evidence = psa.collect(bytes(48))

    assert verify_psa(evidence, anchors=psa.anchors, now=NOW).bound == {"psa": bytes(48)}
    with pytest.raises(BindingMismatchError):
        verify(evidence, anchors=psa.anchors, now=NOW, binding=BINDING)


def test_a_look_alike_device_is_refused(psa: SimulatedPSA, tmp_path: Path) -> None:
    """Another key signs the same claims and comes along in the evidence."""
    impostor = SimulatedPSA.create(tmp_path)

    with pytest.raises(AnchorUnknownError):
        verify(impostor.collect(REPORT_DATA), anchors=psa.anchors, now=NOW, binding=BINDING)


def test_a_token_of_another_key_is_refused(psa: SimulatedPSA, tmp_path: Path) -> None:
    """The pinned key comes along; it did not sign."""
    impostor = SimulatedPSA.create(tmp_path)
    evidence = replace(impostor.collect(REPORT_DATA), endorsements={"iak": spki(psa.key)})

    with pytest.raises(EvidenceSignatureError):
        verify(evidence, anchors=psa.anchors, now=NOW, binding=BINDING)


def test_evidence_without_its_key_is_refused(psa: SimulatedPSA) -> None:
    """A digest alone verifies nothing."""
    evidence = replace(psa.collect(REPORT_DATA), endorsements={})

    with pytest.raises(EvidenceMalformedError, match="neither iak nor iak_certificate"):
        verify(evidence, anchors=psa.anchors, now=NOW, binding=BINDING)


def test_a_mac_token_is_refused(psa: SimulatedPSA) -> None:
    """COSE_Mac0 needs the device's secret in the verifier."""
    blob = psa.collect(REPORT_DATA).blob
    evidence = Evidence(Family.PSA, b"\xd1" + blob[1:], {"iak": spki(psa.key)})

    with pytest.raises(EvidenceMalformedError, match="COSE_Mac0"):
        verify(evidence, anchors=psa.anchors, now=NOW, binding=BINDING)


@pytest.mark.parametrize("profile", [PSA_2_0_0, PSA_IOT_1])
def test_an_old_token_without_a_header_verifies_and_says_so(
    psa: SimulatedPSA, profile: str
) -> None:
    """The pinned key has one algorithm; a policy must still ask for such tokens."""
    claims = claims_of(psa, profile=profile, header={})

    assert claims.attributes["algorithm_protected"] is False
    assert FAMILIES[Family.PSA].defaults["algorithm_protected"] == (True,)


def test_a_new_token_without_a_header_is_refused(psa: SimulatedPSA) -> None:
    """RFC 9783 tokens name their algorithm."""
    with pytest.raises(EvidenceMalformedError, match="none is not supported"):
        claims_of(psa, header={})


@pytest.mark.parametrize(
    ("value", "state", "debug"),
    [
        (0x0012, "unknown", False),
        (0x1000, "assembly-and-test", False),
        (0x2000, "rot-provisioning", False),
        (0x30FF, "secured", False),
        (0x4001, "non-rot-debug", True),
        (0x5000, "recoverable-rot-debug", True),
        (0x6000, "decommissioned", False),
    ],
)
def test_the_lifecycle_is_told(psa: SimulatedPSA, value: int, state: str, *, debug: bool) -> None:
    """Only secured is in the safe default; debug is a claim that no policy admits."""
    claims = claims_of(psa, changes={2395: value})

    assert (claims.attributes["lifecycle"], claims.attributes["lifecycle_value"]) == (state, value)
    assert claims.debug is debug
    assert FAMILIES[Family.PSA].defaults["lifecycle"] == ("secured",)


@pytest.mark.parametrize(
    ("client", "secure"), [(-(1 << 31), False), (-1, False), (1, True), (3002, True)]
)
def test_callers_of_the_non_secure_side_are_told_apart(
    psa: SimulatedPSA, client: int, *, secure: bool
) -> None:
    """Negative ids are non-secure partitions (RFC 9783, 4.1.2)."""
    attributes = claims_of(psa, changes={2394: client}).attributes

    assert (attributes["client_id"], attributes["secure_caller"]) == (client, secure)


@pytest.mark.parametrize("label", [268, 2397])
def test_both_labels_of_the_boot_seed_are_read(psa: SimulatedPSA, label: int) -> None:
    """268 in RFC 9783, 2397 in the drafts that devices implement."""
    claims = claims_of(psa, changes={268: None, label: b"boot seed"})

    assert claims.measurements["boot_seed"] == b"boot seed"


def test_optional_claims_may_be_left_out(psa: SimulatedPSA) -> None:
    """What is absent is no measurement, and an empty text."""
    claims = claims_of(psa, changes={268: None, 2398: None, 2400: None, 2399: [{2: HASH}]})

    assert claims.measurements.keys() == {"implementation_id", "instance_id"}
    assert claims.attributes["certification_reference"] == ""
    (component,) = claims.components
    assert (component.kind, component.digest, component.signer) == ("", HASH, b"")


def test_unknown_claims_are_ignored(psa: SimulatedPSA) -> None:
    """RFC 9783, 5.1.3, demands it: they may be of any type."""
    changes = {99999: [1.5, cbor2.CBORTag(1234, "x")], "text": {1: None}, -1: True}

    assert claims_of(psa, changes=changes).measurements == psa.measurements


@pytest.mark.parametrize("label", [265, 10, 2394, 2395, 2396, 256, 2399])
def test_a_missing_mandatory_claim_is_refused(psa: SimulatedPSA, label: int) -> None:
    """Whichever it is."""
    with pytest.raises(EvidenceMalformedError, match="is missing"):
        claims_of(psa, changes={label: None})


@pytest.mark.parametrize("label", [-75008, -75001, -75002, -75003, -75009, -75006])
def test_a_missing_mandatory_claim_of_the_oldest_profile_is_refused(
    psa: SimulatedPSA, label: int
) -> None:
    """Whichever it is."""
    with pytest.raises(EvidenceMalformedError, match="is missing"):
        claims_of(psa, profile=PSA_IOT_1, changes={label: None})


@pytest.mark.parametrize(
    ("label", "value"),
    [
        (265, "http://arm.com/psa/3.0.0"),
        (265, b"tag:psacertified.org,2023:psa#tfm"),
        (265, ""),
        (10, bytes(31)),
        (10, "nonce"),
        (10, [bytes(32)]),
        (2394, 1 << 31),
        (2394, 0),
        (2394, True),
        (2394, "2"),
        (2395, 0x1500),
        (2395, 1 << 16),
        (2395, -1),
        (2396, bytes(31)),
        (256, b"\x02" + bytes(32)),
        (256, b"\x01" + bytes(31)),
        (268, bytes(7)),
        (268, bytes(33)),
        (2397, bytes(32)),  # a second boot seed
        (2398, "0604565272829-1001"),
        (2398, 604565272829),
        (2400, b"url"),
        (2399, []),
        (2399, {}),
        (2399, [HASH]),
        (2399, [{1: "BL"}]),
        (2399, [{2: bytes(20)}]),
        (2399, [{2: HASH, 1: b"BL"}]),
        (2399, [{2: HASH, 4: 1}]),
        (2399, [{2: HASH, 5: bytes(20)}]),
        (2399, [{2: HASH}] * 257),
    ],
)
def test_claims_of_a_wrong_type_or_size_are_refused(
    psa: SimulatedPSA, label: int, value: object
) -> None:
    """Signed or not."""
    with pytest.raises(EvidenceMalformedError):
        claims_of(psa, changes={label: value})


def test_the_oldest_profile_may_say_that_it_has_no_components(psa: SimulatedPSA) -> None:
    """And then it must not have any."""
    said = {-75006: None, -75007: 1}

    assert claims_of(psa, profile=PSA_IOT_1, changes=said).components == ()
    for changes in ({-75007: 1}, {-75006: None, -75007: 2}, {-75006: None, -75007: True}):
        with pytest.raises(EvidenceMalformedError):
            claims_of(psa, profile=PSA_IOT_1, changes=changes)


def test_later_profiles_cannot_say_so(psa: SimulatedPSA) -> None:
    """The claim was retired (RFC 9783, 4.6)."""
    with pytest.raises(EvidenceMalformedError, match="software components"):
        claims_of(psa, changes={2399: None, -75007: 1})


def test_the_oldest_profile_needs_no_name(psa: SimulatedPSA) -> None:
    """Its labels are nobody else's."""
    claims = claims_of(psa, profile=PSA_IOT_1, changes={-75000: None})

    assert claims.attributes["profile"] == PSA_IOT_1


def test_other_curves_verify(psa: SimulatedPSA) -> None:
    """RFC 9783, 5.2: ES384 and ES512 as well."""
    for curve in (ec.SECP384R1(), ec.SECP521R1()):
        device = SimulatedPSA(ec.generate_private_key(curve))

        assert claims_of(device).components == psa.components


def test_a_token_can_be_shown(psa: SimulatedPSA) -> None:
    """Taken apart, without any key."""
    evidence = replace(psa.collect(REPORT_DATA), endorsements={})

    assert parse(evidence) == parse_psa(evidence)
    assert parse_psa(evidence).token.nonce == REPORT_DATA


KEY = ec.derive_private_key(77, ec.SECP256R1())
DEVICE = SimulatedPSA(KEY)
GOOD = DEVICE.collect(REPORT_DATA)
UNPROTECTED = 6


@given(
    st.integers(0, len(GOOD.blob) - 1).filter(lambda position: position != UNPROTECTED),
    st.integers(1, 255),
)
def test_a_mutated_token_is_refused(position: int, flip: int) -> None:
    """Every byte but that of the empty unprotected header."""
    blob = bytearray(GOOD.blob)
    blob[position] ^= flip

    with pytest.raises(AccordError):
        verify_psa(replace(GOOD, blob=bytes(blob)), anchors=DEVICE.anchors, now=NOW)


labels = st.sampled_from([10, 256, 265, 268, 2394, 2395, 2396, 2397, 2398, 2399, 2400, -75008])
contents = (
    st.integers(-(2**40), 2**40)
    | st.binary(max_size=70)
    | st.text(max_size=5)
    | st.none()
    | st.lists(st.dictionaries(st.integers(1, 6), st.binary(max_size=64), max_size=3), max_size=3)
)


@given(st.dictionaries(labels, contents, max_size=5))
def test_any_signed_claims_are_read_or_refused_by_name(changes: dict[int, Any]) -> None:
    """No exception but the catalogue's comes out, even of a device that lies."""
    claims = {**cbor2.loads(cbor2.loads(GOOD.blob).value[2]), **changes}
    evidence = replace(GOOD, blob=sign1(KEY, cbor2.dumps(claims)))
    try:
        verify_psa(evidence, anchors=DEVICE.anchors, now=NOW)
    except AccordError:
        return


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_name(blob: bytes) -> None:
    """No exception but the catalogue's comes out."""
    with pytest.raises(AccordError):
        verify_psa(replace(GOOD, blob=blob), anchors=DEVICE.anchors, now=NOW)

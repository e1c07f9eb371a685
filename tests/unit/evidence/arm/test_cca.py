# SPDX-License-Identifier: Apache-2.0
"""CCA tokens of the simulated machine: both encodings, and what is refused of them."""

from __future__ import annotations

import hashlib
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
    DebugRefusedError,
    EnvironmentRefusedError,
    EvidenceMalformedError,
    EvidenceSignatureError,
    KeyNotBoundError,
    SimulatorStateError,
)
from accord.evidence import (
    PRODUCTION_ROOTS,
    Binding,
    Claims,
    Purpose,
    Role,
    RootKind,
    parse,
    verify,
)
from accord.evidence.arm import parse_cca, verify_cca
from accord.policy import FAMILIES, Assurance, Family
from accord.testing import SimulatedCCA
from accord.testing._cca import wrap
from accord.testing._cose import cose_key, raw_point, sign1, spki

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BINDING = Binding(Purpose.CHANNEL, Role.SHIELD, bytes(32), bytes(32), None, bytes(32))
REPORT_DATA = BINDING.report_data()
HASH = bytes(range(32))
PLATFORM, REALM = 44234, 44241


def claims_of(cca: SimulatedCCA, **options: Any) -> Claims:
    """What a token says that was collected with ``options``."""
    evidence = cca.collect(REPORT_DATA, **options)
    return verify(evidence, anchors=cca.anchors, now=NOW, binding=BINDING)


def tokens_of(cca: SimulatedCCA, **options: Any) -> dict[int, bytes]:
    """Platform token and realm token by themselves."""
    entries = cbor2.loads(cca.collect(REPORT_DATA, **options).blob).value
    return {
        label: entry if isinstance(entry, bytes) else entry[1] for label, entry in entries.items()
    }


def verified(cca: SimulatedCCA, blob: bytes) -> Claims:
    """What ``blob`` says with the machine's key."""
    evidence = replace(cca.collect(REPORT_DATA), blob=blob)
    return verify(evidence, anchors=cca.anchors, now=NOW, binding=BINDING)


@pytest.mark.parametrize("legacy", [False, True])
def test_tokens_of_both_encodings_verify(cca: SimulatedCCA, *, legacy: bool) -> None:
    """With the realm's key as a COSE key, and as a point."""
    claims = claims_of(cca, legacy=legacy)

    assert claims.measurements == cca.measurements
    assert claims.components == cca.components
    assert claims.instance_id == cca.measurements["instance_id"]
    assert (claims.root, claims.root_kind) == (cca.root_digest, RootKind.TEST)
    assert (claims.assurance, claims.debug, claims.tcb) == (Assurance.SIMULATED, False, None)
    assert [item.what for item in claims.chain] == ["CCA platform attestation key"]


def test_every_claim_is_appraisable_and_nothing_else(cca: SimulatedCCA) -> None:
    """Names, sizes and types are those that a policy knows."""
    known, claims = FAMILIES[Family.CCA], claims_of(cca)

    assert claims.measurements.keys() == known.measurements.keys()
    for name, sizes in known.measurements.items():
        assert len(claims.measurements[name]) in sizes
    assert {name: type(value) for name, value in claims.attributes.items()} == known.attributes
    assert all(claims.attributes[name] in known.defaults[name] for name in known.defaults)


def test_a_simulated_machine_never_counts_as_hardware(cca: SimulatedCCA) -> None:
    """Its key is no vendor's."""
    assert cca.root_digest not in PRODUCTION_ROOTS
    with pytest.raises(AnchorUnknownError):
        verify(cca.collect(REPORT_DATA), anchors=list(PRODUCTION_ROOTS), now=NOW, binding=BINDING)


def test_the_state_is_kept(tmp_path: Path) -> None:
    """Creating twice gives one machine; a damaged state is refused."""
    first = SimulatedCCA.create(tmp_path)

    assert SimulatedCCA.create(tmp_path).root_digest == first.root_digest
    (tmp_path / "cca.secret.json").write_text("{")
    with pytest.raises(SimulatorStateError):
        SimulatedCCA.load(tmp_path)


def test_a_replayed_token_is_refused(cca: SimulatedCCA) -> None:
    """It was made for another challenge."""
    with pytest.raises(BindingMismatchError):
        verify(cca.collect(bytes(64)), anchors=cca.anchors, now=NOW, binding=BINDING)


def test_a_look_alike_platform_is_refused(cca: SimulatedCCA, tmp_path: Path) -> None:
    """Another key signs the same claims and comes along in the evidence."""
    impostor = SimulatedCCA.create(tmp_path)

    with pytest.raises(AnchorUnknownError):
        verify(impostor.collect(REPORT_DATA), anchors=cca.anchors, now=NOW, binding=BINDING)


def test_a_platform_token_of_another_key_is_refused(cca: SimulatedCCA, tmp_path: Path) -> None:
    """The pinned key comes along; it did not sign."""
    impostor = replace(SimulatedCCA.create(tmp_path), rak=cca.rak)

    with pytest.raises(EvidenceSignatureError, match="CCA platform token"):
        verified(cca, impostor.collect(REPORT_DATA).blob)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_realm_token_beside_anothers_platform_token_is_refused(
    cca: SimulatedCCA, *, legacy: bool
) -> None:
    """An attacker signs a realm of his own, and takes the platform token of an honest one."""
    attacker = replace(cca, rak=ec.generate_private_key(ec.SECP384R1()))
    mixed = {
        PLATFORM: tokens_of(cca, legacy=legacy)[PLATFORM],
        REALM: tokens_of(attacker, legacy=legacy)[REALM],
    }

    with pytest.raises(KeyNotBoundError):
        verified(cca, wrap(mixed, legacy=legacy))


def test_a_realm_token_of_another_key_is_refused(cca: SimulatedCCA) -> None:
    """It shows the honest realm's key, and is signed by the attacker's."""
    claims = cbor2.loads(cbor2.loads(tokens_of(cca)[REALM]).value[2])
    forged = sign1(ec.generate_private_key(ec.SECP384R1()), cbor2.dumps({**claims, 44238: HASH}))

    with pytest.raises(EvidenceSignatureError, match="CCA realm token"):
        verified(cca, wrap({**tokens_of(cca), REALM: forged}, legacy=False))


@pytest.mark.parametrize("encode", [raw_point, cose_key])
@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP521R1()])
def test_realm_keys_of_other_curves_verify(
    cca: SimulatedCCA, encode: Any, curve: ec.EllipticCurve
) -> None:
    """The key's encoding is read from itself, and the algorithm is its curve's."""
    other = replace(cca, rak=ec.generate_private_key(curve))
    key = encode(other.rak)
    bound = {10: hashlib.sha384(key).digest()}

    claims = claims_of(other, realm={44237: key, 44240: "sha-384"}, platform=bound)

    assert claims.measurements == cca.measurements


@pytest.mark.parametrize("state", [0x4000, 0x40FF, 0x5000])
def test_a_platform_being_debugged_is_refused(cca: SimulatedCCA, state: int) -> None:
    """Whoever debugs the root of trust reads the realm."""
    with pytest.raises(DebugRefusedError):
        claims_of(cca, platform={2395: state})


@pytest.mark.parametrize(
    ("value", "state"),
    [(0x1000, "assembly-and-test"), (0x30AB, "secured"), (0x6000, "decommissioned")],
)
def test_other_lifecycles_are_told(cca: SimulatedCCA, value: int, state: str) -> None:
    """Only secured is in the safe default."""
    assert claims_of(cca, platform={2395: value}).attributes["lifecycle"] == state
    assert FAMILIES[Family.CCA].defaults["lifecycle"] == ("secured",)


def test_a_platform_token_that_the_monitor_did_not_ask_for_is_refused(cca: SimulatedCCA) -> None:
    """Another client of the root of trust could have anything signed as a challenge."""
    with pytest.raises(EnvironmentRefusedError, match="client id"):
        claims_of(cca, platform={2394: 2})


@pytest.mark.parametrize(
    ("realm", "name", "value", "is_default"),
    [
        ({44243: 0}, "mec_policy", "shared", None),
        ({44243: "private"}, "mec_policy", "private", None),
        ({44244: 0}, "lfa_policy", "disallow", True),
        ({44244: 1}, "lfa_policy", "allow", False),
        ({44257: HASH}, "devices_assigned", True, False),
    ],
)
def test_newer_claims_of_the_monitor_are_told(
    cca: SimulatedCCA, realm: dict[int, Any], name: str, value: object, *, is_default: bool | None
) -> None:
    """Live firmware activation and assigned devices are not in the safe default."""
    assert claims_of(cca, realm=realm).attributes[name] == value
    if is_default is not None:
        assert (value in FAMILIES[Family.CCA].defaults[name]) == is_default


@pytest.mark.parametrize("label", [10, 44235, 44236, 44237, 44238, 44239, 44240])
def test_a_missing_realm_claim_is_refused(cca: SimulatedCCA, label: int) -> None:
    """Whichever it is."""
    with pytest.raises(EvidenceMalformedError, match="is missing"):
        claims_of(cca, realm={label: None})


@pytest.mark.parametrize("label", [265, 10, 2396, 256, 2401, 2395, 2402, 2399, 2394])
def test_a_missing_platform_claim_is_refused(cca: SimulatedCCA, label: int) -> None:
    """Whichever it is."""
    with pytest.raises(EvidenceMalformedError, match="is missing"):
        claims_of(cca, platform={label: None})


@pytest.mark.parametrize(
    ("label", "value"),
    [
        (265, "tag:arm.com,2099:realm#9.0.0"),
        (265, None),
        (10, bytes(32)),
        (44235, bytes(63)),
        (44236, b"sha-256"),
        (44237, b""),
        (44238, bytes(20)),
        (44239, [HASH] * 3),
        (44239, [HASH] * 5),
        (44239, [HASH, HASH, HASH, bytes(20)]),
        (44239, [HASH, HASH, HASH, "rem"]),
        (44240, "sha-1"),
        (44240, "md5"),
        (44243, 2),
        (44243, True),
        (44243, []),
        (44244, "perhaps"),
        (44257, b"devices"),
    ],
)
def test_realm_claims_of_a_wrong_type_or_size_are_refused(
    cca: SimulatedCCA, label: int, value: object
) -> None:
    """Signed or not."""
    with pytest.raises(EvidenceMalformedError):
        claims_of(cca, realm={label: value})


@pytest.mark.parametrize(
    ("label", "value"),
    [
        (265, "tag:arm.com,2099:cca_platform#9.0.0"),
        (265, "http://arm.com/CCA-SSD/1.0.0"),  # with a realm token that has a profile
        (10, bytes(20)),
        (2396, bytes(31)),
        (256, bytes(33)),
        (2401, b""),
        (2401, bytes(65)),
        (2395, 0x7000),
        (2399, []),
        (2394, -1),
    ],
)
def test_platform_claims_of_a_wrong_type_or_size_are_refused(
    cca: SimulatedCCA, label: int, value: object
) -> None:
    """Signed or not."""
    with pytest.raises(EvidenceMalformedError):
        claims_of(cca, platform={label: value})


def test_a_wrapper_may_say_its_type(cca: SimulatedCCA) -> None:
    """A CMW collection has a key for it, which nobody signs."""
    entries = dict(cbor2.loads(cca.collect(REPORT_DATA).blob).value)
    blob = cbor2.dumps(cbor2.CBORTag(907, {**entries, "__cmwc_t": "tag:example"}))

    assert verified(cca, blob).measurements == cca.measurements


def test_other_collections_are_refused(cca: SimulatedCCA) -> None:
    """Another tag, another type, more or fewer entries, entries that are no tokens."""
    tokens = tokens_of(cca)
    wrapped = {label: [263, token] for label, token in tokens.items()}
    collections: list[Any] = [
        dict(tokens),
        cbor2.CBORTag(400, tokens),
        cbor2.CBORTag(399, []),
        cbor2.CBORTag(399, {}),
        cbor2.CBORTag(399, wrapped),
        cbor2.CBORTag(399, {**tokens, "__cmwc_t": "tag:example"}),
        cbor2.CBORTag(907, tokens),
        cbor2.CBORTag(907, {PLATFORM: wrapped[PLATFORM]}),
        cbor2.CBORTag(907, {**wrapped, 1: [263, b""]}),
        cbor2.CBORTag(907, {**wrapped, REALM: [264, tokens[REALM]]}),
        cbor2.CBORTag(907, {**wrapped, REALM: [263, tokens[REALM], 1]}),
        cbor2.CBORTag(907, {**wrapped, REALM: [263, "token"]}),
    ]
    for collection in collections:
        with pytest.raises(EvidenceMalformedError):
            verified(cca, cbor2.dumps(collection))


def test_an_untagged_token_in_the_collection_is_refused(cca: SimulatedCCA) -> None:
    """Both are tagged COSE_Sign1."""
    tokens = tokens_of(cca)
    untagged = cbor2.dumps(list(cbor2.loads(tokens[REALM]).value))

    with pytest.raises(EvidenceMalformedError, match="expected tag 18"):
        verified(cca, wrap({**tokens, REALM: untagged}, legacy=False))


def test_a_token_can_be_shown(cca: SimulatedCCA) -> None:
    """Taken apart, without any key."""
    evidence = replace(cca.collect(REPORT_DATA), endorsements={})

    assert parse(evidence) == parse_cca(evidence)
    assert parse_cca(evidence).realm.challenge == REPORT_DATA


MACHINE = SimulatedCCA(
    ec.derive_private_key(81, ec.SECP256R1()), ec.derive_private_key(82, ec.SECP256R1())
)
GOOD = MACHINE.collect(REPORT_DATA)
HEADER = bytes.fromhex("d28443a10126a0")
SIGNED = [
    position
    for position in range(len(GOOD.blob))
    if GOOD.blob[position - len(HEADER) + 1 : position + 1] != HEADER
]


@given(st.sampled_from(SIGNED), st.integers(1, 255))
def test_a_mutated_token_is_refused(position: int, flip: int) -> None:
    """Every byte but those of the empty unprotected headers."""
    blob = bytearray(GOOD.blob)
    blob[position] ^= flip

    with pytest.raises(AccordError):
        verify_cca(replace(GOOD, blob=bytes(blob)), anchors=MACHINE.anchors, now=NOW)


labels = st.sampled_from([10, 256, 265, 2394, 2395, 2396, 2399, 2401, 2402, 44235, 44237, 44239])
contents = (
    st.integers(-(2**40), 2**40)
    | st.binary(max_size=120)
    | st.text(max_size=5)
    | st.none()
    | st.lists(st.binary(max_size=64), max_size=5)
)
changes_of_claims = st.dictionaries(labels, contents, max_size=3)


@given(changes_of_claims, changes_of_claims)
def test_any_signed_claims_are_read_or_refused_by_name(
    platform: dict[int, Any], realm: dict[int, Any]
) -> None:
    """No exception but the catalogue's comes out, even of a platform that lies."""
    evidence = MACHINE.collect(REPORT_DATA, platform=platform, realm=realm)
    try:
        verify_cca(evidence, anchors=MACHINE.anchors, now=NOW)
    except AccordError:
        return


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_name(blob: bytes) -> None:
    """No exception but the catalogue's comes out."""
    with pytest.raises(AccordError):
        verify_cca(replace(GOOD, blob=blob), anchors=MACHINE.anchors, now=NOW)


def test_the_endorsement_is_the_public_key(cca: SimulatedCCA) -> None:
    """Evidence carries the key that its digest pins."""
    assert cca.collect(REPORT_DATA).endorsements == {"cpak": spki(cca.cpak)}

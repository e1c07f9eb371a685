# SPDX-License-Identifier: Apache-2.0
"""Attestation documents of the simulated hypervisor, and what is refused of them."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
    ChainInvalidError,
    DebugRefusedError,
    EvidenceExpiredError,
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
from accord.evidence.nitro import decode_document, parse_nitro, verify_nitro
from accord.policy import FAMILIES, Assurance, Family
from accord.testing import SimulatedNitro

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BINDING = Binding(Purpose.CHANNEL, Role.SHIELD, bytes(32), bytes(32), None, bytes(32))
REPORT_DATA = BINDING.report_data()
REGISTER = bytes(range(48))


@pytest.fixture(scope="session")
def nitro(tmp_path_factory: pytest.TempPathFactory) -> SimulatedNitro:
    """A hypervisor with one enclave."""
    return SimulatedNitro.create(tmp_path_factory.mktemp("nitro"), now=NOW)


def verified(nitro: SimulatedNitro, evidence: Evidence, *, now: datetime = NOW) -> Claims:
    return verify(evidence, anchors=nitro.anchors, now=now, binding=BINDING)


def claims_of(nitro: SimulatedNitro, **options: Any) -> Claims:
    """What a document says that was collected with ``options``."""
    return verified(nitro, nitro.collect(REPORT_DATA, now=NOW, **options))


@pytest.mark.parametrize("tag", [None, 18])
def test_documents_verify(nitro: SimulatedNitro, tag: int | None) -> None:
    """Tagged or not."""
    claims = claims_of(nitro, tag=tag)

    assert claims.measurements == nitro.measurements
    assert claims.instance_id == b"i-0acc04d0000000000"
    assert (claims.root, claims.root_kind) == (nitro.root_digest, RootKind.TEST)
    assert (claims.assurance, claims.debug, claims.tcb) == (Assurance.SIMULATED, False, None)
    assert claims.attributes == {
        "module_id": "i-0acc04d0000000000-enc0acc04d000000000",
        "timestamp": int(NOW.timestamp()),
    }
    assert len(claims.chain) == 5
    assert claims.collateral_expires == NOW + timedelta(hours=3) - timedelta(seconds=3)


def test_every_claim_is_appraisable_and_nothing_else(nitro: SimulatedNitro) -> None:
    """Names, sizes and types are those that a policy knows."""
    known = FAMILIES[Family.NITRO]
    claims = claims_of(nitro, changes={"pcrs": dict.fromkeys(range(32), REGISTER)})

    assert claims.measurements.keys() == known.measurements.keys()
    assert {name: type(value) for name, value in claims.attributes.items()} == known.attributes


def test_a_simulated_hypervisor_never_counts_as_hardware(nitro: SimulatedNitro) -> None:
    """Its root has the names of AWS's, and another digest."""
    assert nitro.root_digest not in PRODUCTION_ROOTS
    evidence = nitro.collect(REPORT_DATA, now=NOW)
    with pytest.raises(AnchorUnknownError):
        verify(evidence, anchors=list(PRODUCTION_ROOTS), now=NOW, binding=BINDING)


def test_the_state_is_kept(tmp_path: Path) -> None:
    """Creating twice gives one root; a damaged state is refused."""
    first = SimulatedNitro.create(tmp_path)

    assert SimulatedNitro.create(tmp_path).root_digest == first.root_digest
    (tmp_path / "nitro.secret.json").write_text("[]")
    with pytest.raises(SimulatorStateError):
        SimulatedNitro.load(tmp_path)


def test_a_replayed_document_is_refused(nitro: SimulatedNitro) -> None:
    """It was made for something else, or for nothing at all."""
    with pytest.raises(BindingMismatchError):
        verified(nitro, nitro.collect(bytes(64), now=NOW))
    with pytest.raises(BindingMismatchError):
        verified(nitro, nitro.collect(b"hello, world!", now=NOW))
    with pytest.raises(EvidenceMalformedError, match="bound to nothing"):
        claims_of(nitro, changes={"user_data": None})


def test_the_documents_own_nonce_binds_nothing(nitro: SimulatedNitro) -> None:
    """Only user data does: one place, one meaning."""
    with pytest.raises(EvidenceMalformedError, match="bound to nothing"):
        claims_of(nitro, changes={"user_data": None, "nonce": REPORT_DATA})


def test_a_look_alike_root_is_refused(nitro: SimulatedNitro, tmp_path: Path) -> None:
    """Same names, other keys."""
    impostor = SimulatedNitro.create(tmp_path, now=NOW)

    with pytest.raises(AnchorUnknownError):
        verified(nitro, impostor.collect(REPORT_DATA, now=NOW))


def test_the_pinned_root_over_anothers_chain_is_refused(
    nitro: SimulatedNitro, tmp_path: Path
) -> None:
    """The bundle starts with the right root, which issued nothing of what follows."""
    impostor = SimulatedNitro.create(tmp_path, now=NOW)
    bundle = parse_nitro(impostor.collect(REPORT_DATA, now=NOW)).document.certificates
    mixed = [nitro.root_certificate, *bundle[1:]]

    with pytest.raises(ChainInvalidError):
        verified(nitro, impostor.collect(REPORT_DATA, now=NOW, changes={"cabundle": mixed}))


def test_a_document_of_another_key_is_refused(nitro: SimulatedNitro) -> None:
    """The chain is right; its key did not sign."""
    keys = {**nitro.keys, "enclave": ec.generate_private_key(ec.SECP384R1())}
    document = parse_nitro(nitro.collect(REPORT_DATA, now=NOW)).document
    forger = replace(nitro, keys=keys)
    stolen = {"certificate": document.certificate, "cabundle": list(document.certificates)}

    with pytest.raises(EvidenceSignatureError):
        verified(nitro, forger.collect(REPORT_DATA, now=NOW, changes=stolen))


def test_an_authority_signs_no_documents(nitro: SimulatedNitro) -> None:
    """The instance's certificate may issue the enclave's, not stand for it."""
    document = parse_nitro(nitro.collect(REPORT_DATA, now=NOW)).document
    forger = replace(nitro, keys={**nitro.keys, "enclave": nitro.keys["instance"]})
    shifted = {
        "certificate": document.certificates[-1],
        "cabundle": list(document.certificates[:-1]),
    }

    with pytest.raises(ChainInvalidError, match="may not sign documents"):
        verified(nitro, forger.collect(REPORT_DATA, now=NOW, changes=shifted))


def test_a_bundle_in_another_order_is_refused(nitro: SimulatedNitro) -> None:
    """The root comes first."""
    document = parse_nitro(nitro.collect(REPORT_DATA, now=NOW)).document
    turned = {"cabundle": list(reversed(document.certificates))}

    with pytest.raises(ChainInvalidError):
        claims_of(nitro, changes=turned)


@pytest.mark.parametrize("later", [timedelta(hours=-1), timedelta(hours=3), timedelta(days=2)])
def test_a_document_only_verifies_while_its_certificates_live(
    nitro: SimulatedNitro, later: timedelta
) -> None:
    """The moment is an argument."""
    with pytest.raises(EvidenceExpiredError):
        verified(nitro, nitro.collect(REPORT_DATA, now=NOW), now=NOW + later)


@pytest.mark.parametrize(("seconds", "fine"), [(59, True), (61, False)])
def test_a_document_of_the_future_is_refused(
    nitro: SimulatedNitro, seconds: int, *, fine: bool
) -> None:
    """Clocks may differ by a minute."""
    milliseconds = int((NOW + timedelta(seconds=seconds)).timestamp()) * 1000
    evidence = nitro.collect(REPORT_DATA, now=NOW, changes={"timestamp": milliseconds})
    if fine:
        assert verified(nitro, evidence).measurements == nitro.measurements
    else:
        with pytest.raises(EvidenceExpiredError, match="Nitro attestation document"):
            verified(nitro, evidence)


def test_a_debug_enclave_is_refused(nitro: SimulatedNitro) -> None:
    """Its image registers are zero, or it shows none of them."""
    with pytest.raises(DebugRefusedError):
        claims_of(nitro, debug=True)
    with pytest.raises(DebugRefusedError):
        claims_of(nitro, changes={"pcrs": {3: REGISTER}})


@pytest.mark.parametrize(
    "name", ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"]
)
def test_a_missing_field_is_refused(nitro: SimulatedNitro, name: str) -> None:
    """Left out, or null."""
    with pytest.raises(EvidenceMalformedError):
        claims_of(nitro, left_out={name})
    with pytest.raises(EvidenceMalformedError):
        claims_of(nitro, changes={name: None})


def test_optional_fields_may_be_there_or_not(nitro: SimulatedNitro) -> None:
    """Left out, null, or with the most that they can hold."""
    claims_of(nitro, left_out={"nonce", "public_key"})
    claims_of(nitro, changes={"nonce": bytes(512), "public_key": bytes(1024)})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("module_id", ""),
        ("module_id", b"i-0"),
        ("digest", "SHA256"),
        ("digest", b"SHA384"),
        ("timestamp", 0),
        ("timestamp", -1),
        ("timestamp", True),
        ("timestamp", "now"),
        ("timestamp", 2**64 - 1),
        ("pcrs", {}),
        ("pcrs", [REGISTER]),
        ("pcrs", {32: REGISTER}),
        ("pcrs", {-1: REGISTER}),
        ("pcrs", {"0": REGISTER}),
        ("pcrs", {0: bytes(47)}),
        ("pcrs", dict.fromkeys(range(33), REGISTER)),
        ("certificate", b""),
        ("certificate", bytes(1025)),
        ("certificate", b"\x30\x00"),
        ("cabundle", []),
        ("cabundle", [b""]),
        ("cabundle", [bytes(1025)]),
        ("cabundle", [b"\x30\x00"] * 9),
        ("cabundle", b"\x30\x00"),
        ("user_data", bytes(513)),
        ("user_data", "text"),
        ("nonce", bytes(513)),
        ("public_key", b""),
        ("public_key", bytes(1025)),
        ("more", 1),
        (1, 1),
    ],
)
def test_fields_of_a_wrong_type_or_size_are_refused(
    nitro: SimulatedNitro, name: Any, value: object
) -> None:
    """As the specification limits them; fields it does not have are none."""
    with pytest.raises(EvidenceMalformedError):
        claims_of(nitro, changes={name: value})


def test_a_payload_that_is_no_map_is_refused(nitro: SimulatedNitro) -> None:
    """Signed or not."""
    message = [cbor2.dumps({1: -35}), {}, cbor2.dumps([1]), bytes(96)]

    with pytest.raises(EvidenceMalformedError, match="not a map"):
        verified(nitro, Evidence(Family.NITRO, cbor2.dumps(message)))


def test_documents_are_read_from_base64(nitro: SimulatedNitro) -> None:
    """As tools print them, with or without line ends; anything else is refused."""
    for tag in (None, 18):
        blob = nitro.collect(REPORT_DATA, now=NOW, tag=tag).blob
        assert decode_document(blob) == blob
        assert decode_document(base64.b64encode(blob)) == blob
        assert decode_document(base64.encodebytes(blob)) == blob
    with pytest.raises(EvidenceMalformedError, match="neither CBOR nor base64"):
        decode_document(b"?" * 8)


def test_a_document_can_be_shown(nitro: SimulatedNitro) -> None:
    """Taken apart, without any root."""
    evidence = nitro.collect(REPORT_DATA, now=NOW)

    assert parse(evidence) == parse_nitro(evidence)
    assert parse_nitro(evidence).document.user_data == REPORT_DATA


@given(position=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_mutated_document_is_refused(nitro: SimulatedNitro, position: int, flip: int) -> None:
    """Every byte but that of the empty unprotected header."""
    good = document_of(nitro)
    unprotected = good.blob.index(b"\xa0")
    blob = bytearray(good.blob)
    position %= len(blob)
    blob[position + (position == unprotected)] ^= flip

    with pytest.raises(AccordError):
        verify_nitro(replace(good, blob=bytes(blob)), anchors=nitro.anchors, now=NOW)


names = st.sampled_from(
    ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", "x"]
)
contents = (
    st.integers(-(2**60), 2**60)
    | st.binary(max_size=70)
    | st.text(max_size=5)
    | st.none()
    | st.lists(st.binary(max_size=10), max_size=3)
    | st.dictionaries(st.integers(-1, 33), st.binary(max_size=64), max_size=3)
)


@given(changes=st.dictionaries(names, contents, min_size=1, max_size=3))
def test_any_signed_fields_are_read_or_refused_by_name(
    nitro: SimulatedNitro, changes: dict[str, Any]
) -> None:
    """No exception but the catalogue's comes out, even of a hypervisor that lies."""
    document = cbor2.loads(cbor2.loads(document_of(nitro).blob)[2])
    message = [cbor2.dumps({1: -35}), {}, cbor2.dumps({**document, **changes}), bytes(96)]
    with pytest.raises(AccordError):
        verify_nitro(Evidence(Family.NITRO, cbor2.dumps(message)), anchors=nitro.anchors, now=NOW)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_name(blob: bytes) -> None:
    """No exception but the catalogue's comes out."""
    evidence = Evidence(Family.NITRO, blob)
    with pytest.raises(AccordError):
        verify_nitro(evidence, anchors=list(PRODUCTION_ROOTS), now=NOW)


def document_of(nitro: SimulatedNitro) -> Evidence:
    """One document for all examples of a property."""
    if nitro.root_digest not in DOCUMENTS:
        DOCUMENTS[nitro.root_digest] = nitro.collect(REPORT_DATA, now=NOW)
    return DOCUMENTS[nitro.root_digest]


DOCUMENTS: dict[str, Evidence] = {}

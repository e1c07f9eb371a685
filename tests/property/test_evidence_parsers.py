# SPDX-License-Identifier: Apache-2.0
"""Bad evidence is refused by our own errors, whatever its bytes."""

import base64
import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.encoding import sha256
from accord.errors import AccordError
from accord.evidence import Binding, Claims, Evidence, Purpose, Role, verify
from accord.evidence._der import elements
from accord.evidence.intel import Collateral
from accord.evidence.intel._chains import PCK_CHAIN, find_chain, read_certificates
from accord.evidence.intel._import import list_der
from accord.evidence.intel._pck import parse_pck_extension
from accord.evidence.intel._quote import parse_quote
from accord.evidence.intel._tcb import parse_qe_identity, parse_tcb_info
from accord.policy import Family
from accord.testing import TDX_REGISTERS, _pki, _quote

NOW = datetime(2026, 1, 15, tzinfo=UTC)
ISSUED = NOW - timedelta(days=1)
BINDING = Binding(Purpose.LOG, Role.SERVICE, bytes(32), bytes(32), None, bytes(32))

KEYS = _pki.VendorKeys.generate()
CERTIFICATES = _pki.VendorCertificates.issue(KEYS, now=ISSUED)
PCK, ATTESTATION = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
CHAIN = _pki.issue_pck(KEYS, CERTIFICATES, PCK, ppid=bytes(16), now=ISSUED)
ROOT = CERTIFICATES.root.public_bytes(Encoding.DER)
ANCHORS = (sha256(ROOT),)
COLLATERAL = {
    tee: _pki.issue_collateral(KEYS, CERTIFICATES, now=ISSUED, revoked=(5, 6), tee=tee)
    for tee in (Family.SGX, Family.TDX)
}


def tdx(**changes: Any) -> Evidence:
    """A TD's evidence, in any format."""
    blob = _quote.write_quote(
        dict.fromkeys(TDX_REGISTERS, bytes(48)),
        BINDING.report_data(),
        attestation=ATTESTATION,
        certification=_quote.certify(PCK, ATTESTATION, CHAIN),
        **changes,
    )
    return Evidence(Family.TDX, blob, COLLATERAL[Family.TDX].to_endorsements())


def sgx() -> Evidence:
    """An enclave's evidence."""
    blob = _quote.write_sgx_quote(
        _quote.sgx_report({"mrenclave": bytes(32), "mrsigner": bytes(32)}, BINDING.report_data()),
        attestation=ATTESTATION,
        certification=_quote.certify(PCK, ATTESTATION, CHAIN, tee=Family.SGX),
    )
    return Evidence(Family.SGX, blob, COLLATERAL[Family.SGX].to_endorsements())


FORMATS = {
    "sgx": sgx(),
    "v4": tdx(),
    "v5-1.0": tdx(version=5),
    "v5-1.5": tdx(version=5, td_report="1.5"),
}
EVIDENCE = FORMATS["v4"]
DOCUMENT = EVIDENCE.to_bytes()

FEW = settings(max_examples=150, deadline=None)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


def check(evidence: Evidence) -> Claims:
    return verify(evidence, anchors=ANCHORS, now=NOW, binding=BINDING)


def outcome(evidence: Evidence) -> Claims | None:
    """The claims, or None for an error of ours; any other error escapes."""
    try:
        return check(evidence)
    except AccordError:
        return None


GOOD = {name: check(evidence) for name, evidence in FORMATS.items()}


def flipped(data: bytes, at: int, mask: int) -> bytes:
    return data[:at] + bytes((data[at] ^ mask,)) + data[at + 1 :]


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_byte_of_a_quote_changes_what_is_claimed(name: str, data: st.DataObject) -> None:
    """Every byte is signed, hashed, has one permitted value, or is no part of any claim."""
    evidence = FORMATS[name]
    at = data.draw(st.integers(0, len(evidence.blob) - 1))
    blob = flipped(evidence.blob, at, data.draw(st.integers(1, 255)))
    found = outcome(dataclasses.replace(evidence, blob=blob))

    assert found is None or found == GOOD[name]
    assert found is None or at >= len(evidence.blob) - len(CHAIN)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_signed_byte_of_a_quote_can_change(name: str, data: st.DataObject) -> None:
    """Header, report, keys and enclave report: a change of any byte is refused."""
    evidence = FORMATS[name]
    at = data.draw(st.integers(0, len(evidence.blob) - len(CHAIN) - 1))
    blob = flipped(evidence.blob, at, data.draw(st.integers(1, 255)))

    assert outcome(dataclasses.replace(evidence, blob=blob)) is None


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(DOCUMENT) - 1), mask=st.integers(1, 255))
def test_no_byte_of_a_document_changes_what_is_claimed(at: int, mask: int) -> None:
    """Whatever changes in the document, collateral and framing included, claims do not."""
    try:
        evidence = Evidence.from_bytes(flipped(DOCUMENT, at, mask))
    except AccordError:
        return

    assert outcome(evidence) is None or outcome(evidence) == GOOD["v4"]


@FEW
@given(start=st.integers(0, len(EVIDENCE.blob)), cut=st.integers(1, 4000), filler=st.binary())
def test_a_quote_with_a_piece_exchanged_claims_nothing_new(
    start: int, cut: int, filler: bytes
) -> None:
    """Cutting out and putting in bytes anywhere is refused, or changes no claim."""
    blob = EVIDENCE.blob[:start] + filler + EVIDENCE.blob[start + cut :]
    found = outcome(dataclasses.replace(EVIDENCE, blob=blob))

    assert found is None or found == GOOD["v4"]


@FEW
@given(name=st.sampled_from(sorted(EVIDENCE.endorsements)), value=st.binary())
def test_an_endorsement_of_anything_is_refused(name: str, value: bytes) -> None:
    """No endorsement can be exchanged for other bytes; one that is not needed may be empty."""
    endorsements = {**EVIDENCE.endorsements, name: value}
    found = outcome(dataclasses.replace(EVIDENCE, endorsements=endorsements))

    assert found is None or (name, value) == ("pck_crl_issuer_chain", b"")


@FEW
@given(aux=st.fixed_dictionaries({}, optional={"ccel": st.binary(), "ccel_table": st.binary()}))
def test_logs_of_anything_are_met_with_our_own_errors(aux: dict[str, bytes]) -> None:
    """A log is unsigned: it is refused, or it proves nothing."""
    found = outcome(dataclasses.replace(EVIDENCE, aux=aux))

    assert found is None or found.components == ()


def chain_of(data: bytes) -> Any:
    return find_chain(read_certificates(data), PCK_CHAIN, roots=(), anchors=ANCHORS)


@FEW
@given(data=st.binary(max_size=2000))
def test_parsers_meet_any_bytes_with_our_own_errors(data: bytes) -> None:
    """Arbitrary bytes crash no parser."""
    for parse in (
        parse_quote,
        parse_pck_extension,
        Evidence.from_bytes,
        lambda value: elements(value, what="test"),
        chain_of,
        Collateral.from_bytes,
        lambda value: Collateral.from_pcs_parts({"part": value}),
        list_der,
    ):
        try:
            parse(data)
        except AccordError:
            continue


@FEW
@given(at=st.integers(0, len(ROOT) - 1), value=st.binary(min_size=1, max_size=4))
def test_a_mutated_certificate_is_met_with_our_own_errors(at: int, value: bytes) -> None:
    """Damage inside a certificate surfaces as an error of ours, and as no warning."""
    damaged = ROOT[:at] + value + ROOT[at + len(value) :]
    body = base64.b64encode(damaged)
    block = b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n"
    root = CERTIFICATES.root.public_bytes(Encoding.PEM)
    try:
        chain = chain_of(CHAIN.replace(root, block))
    except AccordError:
        return

    assert (chain[-1].digest, damaged) == (sha256(ROOT), ROOT)


@FEW
@given(value=JSON, which=st.sampled_from([parse_tcb_info, parse_qe_identity]))
def test_signed_json_of_any_shape_is_met_with_our_own_errors(value: Any, which: Any) -> None:
    """Even signed collateral may be nonsense."""
    try:
        which(json.dumps(value))
    except AccordError:
        return
    raise AssertionError(value)


@FEW
@given(
    path=st.lists(st.integers(0, 20), min_size=1, max_size=8),
    value=JSON,
    which=st.sampled_from(["tcb_info", "qe_identity"]),
    tee=st.sampled_from([Family.SGX, Family.TDX]),
)
def test_signed_json_with_one_value_exchanged_never_crashes(
    path: list[int], value: Any, which: str, tee: Family
) -> None:
    """Exchanging any value deep inside signed collateral is read or refused."""
    collateral = COLLATERAL[tee]
    document = json.loads(getattr(collateral, which))
    spot, keys = document, []
    for step in path:
        keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
        key = keys[step % len(keys)]
        if not isinstance(spot[key], dict | list) or not spot[key]:
            spot[key] = value
            break
        spot = spot[key]
    text = json.dumps(document)
    signature = _pki.raw_signature(KEYS.tcb_signer, text.encode())
    change: dict[str, Any] = {which: text, f"{which}_signature": signature}
    changed = dataclasses.replace(collateral, **change).to_endorsements()
    evidence = FORMATS["sgx" if tee is Family.SGX else "v5-1.5"]

    outcome(dataclasses.replace(evidence, endorsements=changed))

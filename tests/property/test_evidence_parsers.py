# SPDX-License-Identifier: Apache-2.0
"""Bad evidence is refused by our own errors, whatever its bytes."""

import base64
import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.encoding import sha256
from accord.errors import AccordError
from accord.evidence import Binding, Claims, Evidence, Purpose, Role, verify
from accord.evidence._der import elements, parse_pck_extension
from accord.evidence.intel._quote import parse_quote
from accord.evidence.intel._tcb import parse_qe_identity, parse_tcb_info
from accord.evidence.intel._x509 import PCK_CHAIN, load_chain
from accord.policy import FAMILIES, Family
from accord.testing import _pki, _quote

NOW = datetime(2026, 1, 15, tzinfo=UTC)
ISSUED = NOW - timedelta(days=1)
BINDING = Binding(Purpose.LOG, Role.SERVICE, bytes(32), bytes(32), None, bytes(32))

KEYS = _pki.VendorKeys.generate()
CERTIFICATES = _pki.VendorCertificates.issue(KEYS, now=ISSUED)
PCK, ATTESTATION = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
CHAIN = _pki.issue_pck(KEYS, CERTIFICATES, PCK, ppid=bytes(16), now=ISSUED)
ANCHORS = (sha256(CERTIFICATES.root.public_bytes(Encoding.DER)),)
EVIDENCE = Evidence(
    Family.TDX,
    _quote.write_quote(
        dict.fromkeys(FAMILIES[Family.TDX].measurements, bytes(48)),
        BINDING.report_data(),
        attestation=ATTESTATION,
        certification=_quote.certify(PCK, ATTESTATION, CHAIN),
    ),
    _pki.issue_collateral(KEYS, CERTIFICATES, now=ISSUED, revoked=(5, 6)),
)
DOCUMENT = EVIDENCE.to_bytes()

FEW = settings(max_examples=150, deadline=None)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


def check(evidence: Evidence) -> Claims:
    return verify(evidence, anchors=ANCHORS, now=NOW, binding=BINDING)


def refused(evidence: Evidence) -> bool:
    """Whether ``evidence`` is refused by an error of ours; any other error escapes."""
    try:
        check(evidence)
    except AccordError:
        return True
    return False


def flipped(data: bytes, at: int, mask: int) -> bytes:
    return data[:at] + bytes((data[at] ^ mask,)) + data[at + 1 :]


def test_the_evidence_that_is_mutated_here_is_good() -> None:
    """Without a mutation nothing is refused."""
    assert not refused(EVIDENCE)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(EVIDENCE.blob) - 1), mask=st.integers(1, 255))
def test_no_byte_of_a_quote_can_change(at: int, mask: int) -> None:
    """Every byte of an unpadded quote is signed, hashed or has one permitted value."""
    assert refused(dataclasses.replace(EVIDENCE, blob=flipped(EVIDENCE.blob, at, mask)))


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(DOCUMENT) - 1), mask=st.integers(1, 255))
def test_no_byte_of_a_document_can_change(at: int, mask: int) -> None:
    """Every byte of the document counts, collateral and framing included."""
    try:
        evidence = Evidence.from_bytes(flipped(DOCUMENT, at, mask))
    except AccordError:
        return

    assert refused(evidence)


@FEW
@given(start=st.integers(0, len(EVIDENCE.blob)), cut=st.integers(1, 4000), filler=st.binary())
def test_a_quote_with_a_piece_exchanged_is_refused(start: int, cut: int, filler: bytes) -> None:
    """Cutting out and putting in bytes anywhere is refused, except zeros at the end."""
    blob = EVIDENCE.blob[:start] + filler + EVIDENCE.blob[start + cut :]

    assert refused(dataclasses.replace(EVIDENCE, blob=blob)) or (
        blob.rstrip(b"\0") == EVIDENCE.blob.rstrip(b"\0")
    )


@FEW
@given(field=st.sampled_from(dataclasses.fields(EVIDENCE.collateral)), value=st.data())
def test_a_collateral_field_of_anything_is_refused(field: Any, value: Any) -> None:
    """No field of the collateral can be exchanged for other text or bytes."""
    kind = st.binary() if isinstance(getattr(EVIDENCE.collateral, field.name), bytes) else st.text()
    change: dict[str, Any] = {field.name: value.draw(kind)}
    collateral = dataclasses.replace(EVIDENCE.collateral, **change)

    assert refused(dataclasses.replace(EVIDENCE, collateral=collateral))


@FEW
@given(data=st.binary(max_size=2000))
def test_parsers_meet_any_bytes_with_our_own_errors(data: bytes) -> None:
    """Arbitrary bytes crash no parser."""
    for parse in (
        parse_quote,
        parse_pck_extension,
        Evidence.from_bytes,
        lambda value: elements(value, what="test"),
        lambda value: load_chain(value, PCK_CHAIN),
    ):
        try:
            parse(data)
        except AccordError:
            continue


@FEW
@given(
    at=st.integers(0, len(CERTIFICATES.root.public_bytes(Encoding.DER)) - 1),
    value=st.binary(min_size=1, max_size=4),
)
def test_a_mutated_certificate_is_met_with_our_own_errors(at: int, value: bytes) -> None:
    """Damage inside a certificate surfaces as an error of ours, and as no warning."""
    der = CERTIFICATES.root.public_bytes(Encoding.DER)
    damaged = der[:at] + value + der[at + len(value) :]
    body = base64.b64encode(damaged).decode()
    lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
    block = f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n".encode()
    root = CERTIFICATES.root.public_bytes(Encoding.PEM)
    try:
        chain = load_chain(CHAIN.replace(root, block), PCK_CHAIN)
    except AccordError:
        return

    assert chain[-1].digest == sha256(damaged)


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
)
def test_signed_json_with_one_value_exchanged_never_crashes(
    path: list[int], value: Any, which: str
) -> None:
    """Exchanging any value deep inside signed collateral is read or refused."""
    document = json.loads(getattr(EVIDENCE.collateral, which))
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
    changed = dataclasses.replace(EVIDENCE.collateral, **change)

    refused(dataclasses.replace(EVIDENCE, collateral=changed))

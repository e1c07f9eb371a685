# SPDX-License-Identifier: Apache-2.0
"""A quote of a real cloud machine's vTPM."""

import json
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.support.recorded import EVIDENCE, needs_evidence

from accord.encoding import sha256
from accord.errors import AnchorUnknownError, LogMismatchError
from accord.evidence import Evidence, RootKind, verify_unbound
from accord.evidence.tpm import (
    Certified,
    check_replay,
    import_go_attestation,
    parse_attest,
    parse_event_log,
    parse_public,
)

pytestmark = needs_evidence

COVERS = {
    "tpm/go-attestation/windows_gcp_shielded_vm.json": "verifies; 8 of 8 registers replay",
}
NOW = datetime(2026, 1, 15, tzinfo=UTC)
MEASURED = (0, 4, 5, 7, 11, 12, 13, 14)


def recorded() -> Evidence:
    data = (EVIDENCE / "tpm/go-attestation/windows_gcp_shielded_vm.json").read_bytes()
    return import_go_attestation(data)


def test_a_quote_of_a_shielded_vm_verifies() -> None:
    """windows_gcp_shielded_vm.json: an RSA key, SHA-1 throughout, and an empty nonce."""
    evidence = recorded()
    anchor = sha256(parse_public(evidence.aux["ak_public"]).spki)
    claims, bound = verify_unbound(evidence, anchors=[anchor], now=NOW)

    assert bound == {"tpm": b""}
    assert (claims.root, claims.root_kind) == (anchor, RootKind.TEST)
    assert claims.attributes["secure_boot"] is True
    assert claims.attributes["clock_safe"] is True
    assert claims.attributes["relies_on_sha1"] is True
    assert claims.measurements.keys() >= {"pk", "kek", "db", "dbx"}
    assert "\\EFI\\Microsoft\\Boot\\bootmgfw.efi" in [item.name for item in claims.components]
    with pytest.raises(AnchorUnknownError):
        verify_unbound(evidence, anchors=[sha256(b"another")], now=NOW)


def test_every_measured_register_of_a_shielded_vm_replays() -> None:
    """windows_gcp_shielded_vm.json: 8 of 8, all others are as after a reset."""
    evidence = recorded()
    anchor = sha256(parse_public(evidence.aux["ak_public"]).spki)
    claims, _ = verify_unbound(evidence, anchors=[anchor], now=NOW)
    registers = {index: claims.measurements[f"sha1.pcr{index}"] for index in range(24)}
    log = parse_event_log(evidence.aux["event_log"])

    assert check_replay(log, registers, bank="sha1") == set(MEASURED)
    assert all(
        value in {bytes(20), b"\xff" * 20}
        for index, value in registers.items()
        if index not in MEASURED
    )


def test_a_changed_log_of_a_shielded_vm_is_refused() -> None:
    """windows_gcp_shielded_vm.json, with another digest in its last event."""
    evidence = recorded()
    anchor = sha256(parse_public(evidence.aux["ak_public"]).spki)
    log = parse_event_log(evidence.aux["event_log"])
    digest = log.events[-1].digests["sha1"]
    changed = evidence.aux["event_log"].replace(digest, bytes(20))

    aux = {**evidence.aux, "event_log": changed}
    with pytest.raises(LogMismatchError):
        verify_unbound(replace(evidence, aux=aux), anchors=[anchor], now=NOW)


def test_the_creation_of_the_key_is_attested() -> None:
    """windows_gcp_shielded_vm.json: the key's name is in an attestation of its own TPM."""
    document = json.loads(
        (EVIDENCE / "tpm/go-attestation/windows_gcp_shielded_vm.json").read_text()
    )
    attested = parse_attest(b64decode(document["AK"]["CreateAttestation"])).attested

    assert isinstance(attested, Certified)
    assert attested.name == parse_public(b64decode(document["AK"]["Public"])).name

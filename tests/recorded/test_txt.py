# SPDX-License-Identifier: Apache-2.0
"""Quotes, logs and manifests of real servers with Intel TXT."""

import hashlib
import json
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from tests.support.recorded import EVIDENCE, needs_evidence

from accord.encoding import Digest, sha256
from accord.errors import (
    AnchorUnknownError,
    EvidenceExpiredError,
    EvidenceMalformedError,
    EvidenceSignatureError,
    LogMismatchError,
)
from accord.evidence import Evidence, RootKind, verify_unbound
from accord.evidence._certificate import load_certificates, parse_certificate
from accord.evidence.tpm import import_trust_agent, pack_quote, parse_quote, parse_txt_log

pytestmark = needs_evidence

FOLDER = EVIDENCE / "txt" / "intel-secl"
COVERS = {
    "txt/intel-secl/sample_tpm_quote.xml": "verifies; PCR 17 and 18 replay in both banks",
    "txt/intel-secl/aik.pem": "the key of that quote",
    "txt/intel-secl/sample_measure_log.json": "a log of a launch, read and replayed",
    "txt/intel-secl/LatestHostManifest.json": "registers of a launched server, without a quote",
}
NOW = datetime(2023, 1, 15, tzinfo=UTC)
LAUNCHED = [
    *("HASH_START", "BIOSAC_REG_DATA", "CPU_SCRTM_STAT", "LCP_CONTROL_HASH", "LCP_DETAILS_HASH"),
    *("STM_HASH", "OSSINITDATA_CAP_HASH", "MLE_HASH", "NV_INFO_HASH"),
    *("tb_policy", "vmlinuz", "initrd"),
]
AUTHORITIES = [
    *("SINIT_PUBKEY_HASH", "CPU_SCRTM_STAT", "OSSINITDATA_CAP_HASH", "LCP_CONTROL_HASH"),
    *("LCP_AUTHORITIES_HASH", "NV_INFO_HASH", "tb_policy"),
]


def quoted() -> Evidence:
    return import_trust_agent((FOLDER / "sample_tpm_quote.xml").read_bytes())


def aik() -> Digest:
    """The digest of the key in the certificate that came with the quote."""
    return sha256(load_certificates((FOLDER / "aik.pem").read_bytes(), what="AIK")[0].spki)


def replayed(digests: list[bytes]) -> bytes:
    bank = {20: "sha1", 32: "sha256"}[len(digests[0])]
    value = bytes(len(digests[0]))
    for digest in digests:
        value = hashlib.new(bank, value + digest).digest()
    return value


def test_a_real_late_launch_verifies() -> None:
    """sample_tpm_quote.xml under the key of aik.pem: what was launched, from both banks."""
    claims, bound = verify_unbound(quoted(), anchors=[aik()], now=NOW)
    found = {(item.kind, item.name): item.digest for item in claims.components}

    assert claims.root_kind is RootKind.TEST
    assert len(bound["txt"]) == 32
    assert list(found) == [
        *(("txt.pcr17", name) for name in LAUNCHED),
        *(("txt.pcr18", name) for name in AUTHORITIES),
    ]
    assert claims.attributes["relies_on_sha1"] is False
    assert len(claims.measurements) == 48
    assert claims.measurements["sha256.pcr17"].hex().startswith("587a1d881e8d656d")
    assert claims.measurements["sha1.pcr18"].hex().startswith("e70dc3326e7ad887")


def test_the_log_of_the_real_launch_replays_in_both_banks() -> None:
    """sample_tpm_quote.xml: one changed digest in either bank is noticed."""
    evidence = quoted()
    log = parse_txt_log(evidence.aux["txt_log"])

    assert log.banks == {"sha1", "sha256"}
    for events in log.events.values():
        old, new = events[-1].digest.hex().encode(), events[0].digest.hex().encode()
        changed = evidence.aux["txt_log"].replace(old, new)
        with pytest.raises(LogMismatchError):
            verify_unbound(
                replace(evidence, aux={**evidence.aux, "txt_log": changed}),
                anchors=[aik()],
                now=NOW,
            )


def test_a_changed_quote_of_the_real_launch_is_refused() -> None:
    """sample_tpm_quote.xml with another nonce, or under another key than that of aik.pem."""
    evidence, quote = quoted(), parse_quote(quoted().blob)
    attested = quote.attested.replace(quote.attest.extra_data, bytes(32))
    blob = pack_quote(attested, evidence.blob[4 + len(attested) :])

    with pytest.raises(EvidenceSignatureError):
        verify_unbound(replace(evidence, blob=blob), anchors=[aik()], now=NOW)
    with pytest.raises(AnchorUnknownError):
        verify_unbound(evidence, anchors=[sha256(b"another")], now=NOW)


def test_an_aik_certificate_without_its_root_must_be_pinned_itself() -> None:
    """aik.pem names an issuer that is not there: nothing but its own digest vouches for it."""
    pem = (FOLDER / "aik.pem").read_bytes()
    certificate = load_certificates(pem, what="AIK")[0]
    evidence = replace(quoted(), endorsements={"ak_certificate": pem})
    claims, _ = verify_unbound(evidence, anchors=[certificate.digest], now=NOW)

    assert (claims.root, claims.collateral_expires) == (certificate.digest, certificate.not_after)
    assert claims.attributes["ak_issuer"] == ""
    assert verify_unbound(evidence, anchors=[aik()], now=NOW).claims.root == aik()
    with pytest.raises(AnchorUnknownError):
        verify_unbound(evidence, anchors=[sha256(b"somebody")], now=NOW)
    with pytest.raises(EvidenceExpiredError):
        verify_unbound(evidence, anchors=[certificate.digest], now=NOW.replace(year=2028))


def test_a_log_with_mislabelled_banks_is_read() -> None:
    """sample_measure_log.json calls a SHA-256 bank SHA1: the sizes of digests decide."""
    log = parse_txt_log((FOLDER / "sample_measure_log.json").read_bytes())

    assert set(log.events) == {(bank, index) for bank in ("sha1", "sha256") for index in (17, 18)}
    assert [event.name for event in log.events["sha256", 17]] == LAUNCHED
    assert [event.name for event in log.events["sha1", 18]] == AUTHORITIES
    assert replayed([event.digest for event in log.events["sha256", 17]]).hex() == (
        "cd9f31f583199357fc64b5d9e08a2cd67655c53b090e738acfad5e2bb7d68541"
    )


def test_a_manifest_of_a_launched_server_is_no_evidence() -> None:
    """LatestHostManifest.json has the registers after a launch, and a key, but no quote."""
    document = json.loads((FOLDER / "LatestHostManifest.json").read_text())
    registers = {
        (item["pcr_bank"], item["index"]): bytes.fromhex(item["value"])
        for bank in ("sha1pcrs", "sha2pcrs")
        for item in document["pcr_manifest"][bank]
    }
    events = document["pcr_manifest"]["pcr_event_log_map"]["SHA256"][0]
    key = parse_certificate(b64decode(document["aik_certificate"]), what="AIK").key

    assert isinstance(key, RSAPublicKey)
    for index in ("pcr_17", "pcr_18"):
        for bank in ("SHA1", "SHA256"):
            assert len(set(registers[bank, index])) > 1
    digests = [bytes.fromhex(event["measurement"]) for event in events["tpm_events"]]
    assert replayed(digests) == registers["SHA256", f"pcr_{events['pcr']['index']}"]
    with pytest.raises(EvidenceMalformedError):
        import_trust_agent((FOLDER / "LatestHostManifest.json").read_bytes())

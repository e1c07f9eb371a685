# SPDX-License-Identifier: Apache-2.0
"""Other people's files, wrong files, and what lacks something: `accord attest` says which."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import ASKED, Collected, Command
from tests.support.recorded import EVIDENCE, needs_evidence

from accord.cli._evidence_file import ATTACHMENTS
from accord.evidence import Evidence
from accord.evidence.tpm import parse_quote
from accord.policy import Family

# --- lists of devices -----------------------------------------------------------------------


def devices(collected: dict[str, Collected], count: int) -> list[dict[str, str]]:
    evidence = collected["nvidia"].evidence
    encoded = {
        "evidence": base64.b64encode(evidence.blob).decode(),
        "certificate": base64.b64encode(evidence.endorsements["certificate_chain"]).decode(),
    }
    return [encoded] * count


def test_one_device_of_a_list_is_verified(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """The only one, or the one that is chosen."""
    path, given = tmp_path / "gpus.json", collected["nvidia"]
    verify = ("attest", "verify", path, *given.anchors, "--report-data", ASKED)
    path.write_text(json.dumps(devices(collected, 1)))
    assert command(*verify).exit_code == 0
    path.write_text(json.dumps(devices(collected, 3)))
    assert command(*verify, "--index", "2").exit_code == 0
    unclear = command(*verify, "--json")
    assert (unclear.exit_code, unclear.document["code"]) == (2, "accord-COL-004")
    assert "--index 0 to 2" in unclear.document["message"]
    assert command(*verify, "--index", "3").exit_code == 2


@pytest.mark.parametrize("change", [{"evidence": "!"}, {"certificate": "A" * 200_000}])
def test_a_damaged_list_of_devices_is_no_evidence(
    command: Command, collected: dict[str, Collected], tmp_path: Path, change: dict[str, str]
) -> None:
    """No traceback: exit code 3."""
    path = tmp_path / "gpus.json"
    path.write_text(json.dumps([devices(collected, 1)[0] | change]))
    assert command("attest", "verify", path).exit_code == 3
    path.write_text(json.dumps(devices(collected, 65)))
    assert command("attest", "verify", path, "--index", "0").exit_code == 3


@needs_evidence
def test_nvidias_recorded_list_is_read(command: Command) -> None:
    """gpu_evidence.json: every one of the eight GPUs, with its nonce."""
    path = EVIDENCE / "nvidia" / "nvtrust" / "gpu_evidence.json"
    nonce = json.loads(path.read_text())[7]["nonce"]
    verify = ("attest", "verify", path, "--now", "2026-01-01T00:00:00Z", "--nonce", nonce)

    assert command(*verify).exit_code == 2
    assert command(*verify, "--index", "7").exit_code == 0


# --- host manifests -------------------------------------------------------------------------


def manifest(evidence: Evidence, spki_certificate: bytes) -> dict[str, Any]:
    """What Intel's verification service would list of the host that made ``evidence``."""
    lines = [line.split(":") for line in evidence.aux["pcrs"].decode().split()]
    banks: dict[str, list[dict[str, str]]] = {"sha1pcrs": [], "sha2pcrs": []}
    for bank, index, value in lines:
        name = "sha1pcrs" if bank == "sha1" else "sha2pcrs"
        banks[name].append({"index": f"pcr_{index}", "value": value, "pcr_bank": bank.upper()})
    return {
        "aik_certificate": base64.b64encode(spki_certificate).decode(),
        "pcr_manifest": {**banks, "pcr_event_log_map": {"SHA1": None, "SHA256": []}},
    }


def test_a_host_manifest_needs_a_quote(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """Registers that nobody signed prove nothing; with the quote for them they are evidence."""
    given = collected["txt"]
    evidence = given.evidence
    path, quote, key = tmp_path / "m.json", tmp_path / "quote", tmp_path / "ak"
    certificate = evidence.endorsements["ak_certificate"]
    key.write_bytes(certificate)
    path.write_text(json.dumps(manifest(evidence, certificate)))
    attested = parse_quote(evidence.blob).attested
    signature = evidence.blob[4 + len(attested) :]
    quote.write_bytes(len(attested).to_bytes(2, "big") + attested + signature)
    verify = ("attest", "verify", path, "--anchor", key)
    refused = command(*verify, "--json")

    assert (refused.exit_code, refused.document["code"]) == (3, "accord-ATT-001")
    assert "but no quote" in refused.document["message"]
    with_quote = command(*verify, "--aux", f"quote={quote}", "--report-data", ASKED)
    assert with_quote.exit_code == 0, with_quote.stderr


@pytest.mark.parametrize(
    "change",
    [
        {"aik_certificate": "!"},
        {"pcr_manifest": {}},
        {"pcr_manifest": {"sha1pcrs": [{}], "pcr_event_log_map": {}}},
        {"pcr_manifest": {"pcr_event_log_map": {"SHA256": [1]}}},
        {"pcr_manifest": {"pcr_event_log_map": {"SHA256": 1}}},
        {"pcr_manifest": {"pcr_event_log_map": {}}},
    ],
)
def test_a_damaged_host_manifest_is_no_evidence(
    command: Command, collected: dict[str, Collected], tmp_path: Path, change: dict[str, Any]
) -> None:
    """No traceback, also with a quote of other registers."""
    evidence = collected["txt"].evidence
    written = manifest(evidence, evidence.endorsements["ak_certificate"]) | change
    (tmp_path / "m.json").write_text(json.dumps(written))
    attested = parse_quote(evidence.blob).attested
    (tmp_path / "q").write_bytes(len(attested).to_bytes(2, "big") + attested)
    verify = ("attest", "verify", tmp_path / "m.json", "--aux", f"quote={tmp_path / 'q'}")
    assert command(*verify).exit_code == 3


@needs_evidence
def test_intels_recorded_manifest_says_what_it_lacks(command: Command) -> None:
    """LatestHostManifest.json: 48 registers, and no quote."""
    path = EVIDENCE / "txt" / "intel-secl" / "LatestHostManifest.json"
    refused = command("attest", "verify", path, "--json")
    assert (refused.exit_code, refused.document["code"]) == (3, "accord-ATT-001")
    assert "48 registers" in refused.document["message"]


# --- what is missing or wrong ---------------------------------------------------------------


def test_evidence_without_collateral_is_still_explained(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """The tree of its fields, and what is missing."""
    given = collected["tdx"]
    (tmp_path / "quote").write_bytes(given.evidence.blob)
    explained = command("attest", "explain", tmp_path / "quote", *given.anchors)

    assert explained.exit_code == 3
    assert "accord-COL-006 there is no intel/tcb-info/tdx/" in explained.stdout
    assert "── fields, as the bytes say them" in explained.stdout


@needs_evidence
def test_an_azure_td_report_names_the_quote_that_it_lacks(command: Command) -> None:
    """hcl-report-tdx.bin: its fields are shown, and how to add the quote."""
    path = EVIDENCE / "azure" / "azure-cvm-tooling" / "hcl-report-tdx.bin"
    explained = command("attest", "explain", path)

    assert explained.exit_code == 3
    assert "--aux td_quote=FILE" in explained.stderr
    assert "── fields, as the bytes say them" in explained.stdout


@needs_evidence
def test_a_broken_trust_anchor_is_bad_not_wrong_use(command: Command) -> None:
    """ta-02-bad.json: its point is on no curve."""
    folder = EVIDENCE / "cca" / "rust-ccatoken"
    verify = ("attest", "verify", folder / "cca-token-02.cbor", "--anchor")
    assert command(*verify, folder / "ta-02-bad.json").exit_code == 3
    assert command(*verify, folder / "ta-02-ok.json").exit_code == 0


def test_an_attachment_of_another_family_names_those_there_are(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """A TDX event log is called ccel."""
    for family, known in ((Family.TDX, "ccel, ccel_table"), (Family.PSA, "none")):
        given = collected[family.value]
        refused = command("attest", "verify", given.path, "--aux", f"event_log={given.path}")
        assert refused.exit_code == 2
        assert f"it has {known}" in refused.stderr
    assert ATTACHMENTS[Family.TXT][-1] == "txt_log"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"family": "tdx", "measurments": {}}', "accord-POL-002"),
        ('{"schema": "accord.policy.v1", "name": 1}', "accord-POL-002"),
        ("a: [", "accord-POL-001"),
        ("[]", "accord-POL-002"),
        ("7", "accord-POL-002"),
    ],
)
def test_a_bad_policy_is_wrong_use_and_names_the_file(
    command: Command, collected: dict[str, Collected], tmp_path: Path, text: str, code: str
) -> None:
    """It is the verifier's own file, whatever is wrong with it."""
    given = collected["tdx"]
    (tmp_path / "mine.yaml").write_text(text)
    refused = command(
        "attest", "verify", given.path, *given.anchors, "--policy", tmp_path / "mine.yaml", "--json"
    )
    assert (refused.exit_code, refused.document["code"]) == (2, code)
    assert "mine.yaml" in refused.document["message"]

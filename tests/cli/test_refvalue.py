# SPDX-License-Identifier: Apache-2.0
"""`accord refvalue`: from files to a policy."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.cli.conftest import Command
from tests.support.refvalues import (
    TDVF_SECTIONS,
    event_log,
    manifest,
    ovmf,
    pem,
    psa_triples,
    signed,
    sigstruct,
    tag,
    tdvf,
)

from accord.encoding import Fields
from accord.policy import AttestationVariant, parse_yaml

KEY = ec.derive_private_key(7, ec.SECP256R1())


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("kind", "data", "named"),
    [
        ("sgx", sigstruct(), {"mrenclave", "mrsigner"}),
        ("tdx", tdvf(TDVF_SECTIONS), {"mrtd"}),
        ("tpm", event_log((4, b"x")), {"sha256.pcr4"}),
    ],
)
def test_what_is_measured_is_a_policy_snippet(
    command: Command, tmp_path: Path, kind: str, data: bytes, named: set[str]
) -> None:
    """In YAML for a person, in JSON for a program: the same variant."""
    path = write(tmp_path, "image", data)
    shown = command("refvalue", "measure", kind, path)
    document = json.loads(command("refvalue", "measure", kind, path, "--json").stdout)

    assert shown.exit_code == 0
    assert parse_yaml(shown.stdout.encode()) == {"attestation": document["attestation"]}
    variant = AttestationVariant.from_fields(Fields(document["attestation"][0], "variant"))
    assert set(variant.measurements) == named
    assert document["caveats"]
    assert all(caveat in shown.stderr for caveat in document["caveats"])


def test_a_launch_digest_needs_the_cpus(command: Command, tmp_path: Path) -> None:
    """They are in the digest; what is not given is not guessed."""
    pytest.importorskip("sevsnpmeasure", reason="SKIPPED: sev-snp-measure is not installed")
    path = write(tmp_path, "OVMF.fd", ovmf())
    measure = ("refvalue", "measure", "snp", path, "--vcpu-type", "EPYC-v4")
    assert command(*measure).exit_code == 2
    assert "snp needs --vcpus" in command(*measure).stderr
    found = [
        json.loads(command(*measure, "--vcpus", 2, "--json", *more).stdout)["attestation"]
        for more in ((), ("--vmm", "gce"), ("--guest-features", 5))
    ]
    assert len({json.dumps(item) for item in found}) == 3


def test_a_missing_extra_is_said(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its name in the catalogue."""
    monkeypatch.setitem(sys.modules, "sevsnpmeasure.guest", None)
    path = write(tmp_path, "OVMF.fd", ovmf())
    refused = command("refvalue", "measure", "snp", path, "--vcpus", 1, "--vcpu-type", "EPYC")

    assert refused.exit_code == 2
    assert "accord-REF-008" in refused.stderr


def test_options_of_another_kind_are_refused(command: Command, tmp_path: Path) -> None:
    """They would do nothing, and their user believes otherwise."""
    path = write(tmp_path, "log", event_log((4, b"x")))
    for options in (("--vcpus", 1), ("--log", path), ("--page-order", "interleaved")):
        refused = command("refvalue", "measure", "tpm", path, *options)
        assert refused.exit_code == 2
        assert f"{options[0]} means nothing for tpm" in refused.stderr
    refused = command("refvalue", "measure", "sgx", path, "--pcr", 4)
    assert "--pcr means nothing for sgx" in refused.stderr


def test_a_log_adds_the_runtime_registers(command: Command, tmp_path: Path) -> None:
    """MRTD from the image, RTMRs from the log, in one variant; the order of pages counts."""
    image = write(tmp_path, "TDVF.fd", tdvf(TDVF_SECTIONS))
    log = write(tmp_path, "ccel", event_log((2, b"x")))
    measure = ("refvalue", "measure", "tdx", image, "--json")
    found = json.loads(command(*measure, "--log", log).stdout)
    other = json.loads(command(*measure, "--page-order", "pages-first").stdout)

    assert set(found["attestation"][0]["measurements"]) == {"mrtd", "rtmr1"}
    assert any("unsigned" in caveat for caveat in found["caveats"])
    assert (
        found["attestation"][0]["measurements"]["mrtd"]
        != (other["attestation"][0]["measurements"]["mrtd"])
    )


def test_registers_can_be_chosen(command: Command, tmp_path: Path) -> None:
    """By bank and number; one that the log does not extend is refused."""
    path = write(tmp_path, "log", event_log((4, b"x"), (7, b"y")))
    measure = ("refvalue", "measure", "tpm", path, "--bank", "sha384", "--json")
    found = json.loads(command(*measure, "--pcr", 7).stdout)

    assert set(found["attestation"][0]["measurements"]) == {"sha384.pcr7"}
    refused = command(*measure, "--pcr", 9)
    assert (refused.exit_code, json.loads(refused.stdout)["code"]) == (1, "accord-REF-001")


def test_a_changed_sigstruct_is_not_verified(command: Command, tmp_path: Path) -> None:
    """Exit code 3."""
    data = bytearray(sigstruct())
    data[960] ^= 1

    refused = command("refvalue", "measure", "sgx", write(tmp_path, "x", bytes(data)))
    assert (refused.exit_code, "accord-REF-002" in refused.stderr) == (3, True)


def test_a_signed_manifest_is_imported(command: Command, tmp_path: Path) -> None:
    """Its signer is said, its variants are printed as one list."""
    triples = psa_triples()
    environment = {**triples[0][0][0], 1: tag(550, b"\1" * 33)}
    triples = {0: triples[0] * 2, 3: [[environment, [tag(554, pem(KEY).decode())]]]}
    path = write(tmp_path, "m.corim", signed(manifest(triples), KEY, alg=-7))
    key = write(tmp_path, "key.pem", pem(KEY))
    shown = command("refvalue", "import", path, "--signer", key)
    document = json.loads(command("refvalue", "import", path, "--signer", key, "--json").stdout)

    assert shown.exit_code == 0
    assert f"signed by {document['signer']}" in shown.stderr
    assert parse_yaml(shown.stdout.encode()) == {"attestation": document["attestation"]}
    assert len(document["attestation"]) == 2
    assert document["anchors"] == [document["signer"]]
    assert f"# anchor {document['signer']}" in shown.stdout


def test_an_unsigned_manifest_needs_the_word(command: Command, tmp_path: Path) -> None:
    """Neither silence nor both options will do; and it is warned of."""
    path = write(tmp_path, "m.corim", manifest(psa_triples()))
    key = write(tmp_path, "key.pem", pem(KEY))

    assert command("refvalue", "import", path).exit_code == 2
    assert command("refvalue", "import", path, "--unsigned", "--signer", key).exit_code == 2
    assert "accord-REF-003" in command("refvalue", "import", path, "--signer", key).stderr
    accepted = command("refvalue", "import", path, "--unsigned")
    assert (accepted.exit_code, "UNSIGNED" in accepted.stderr) == (0, True)


def test_the_moment_can_be_named(command: Command, tmp_path: Path) -> None:
    """A manifest of the past is valid in the past."""
    data = manifest(psa_triples(), k4={1: tag(1, 1_700_000_000)})
    path = write(tmp_path, "m.corim", data)
    importing = ("refvalue", "import", path, "--unsigned")

    assert "accord-REF-006" in command(*importing).stderr
    assert command(*importing, "--now", "2023-11-01T00:00:00Z").exit_code == 0
    assert command(*importing, "--now", "yesterday").exit_code == 2


def test_values_that_are_no_policy_yet_are_said_to_be_none(
    command: Command, tmp_path: Path
) -> None:
    """A platform without its realm; and a manifest that no policy can say."""
    name = "tag:arm.com,2025:cca_platform#1.0.0"
    triples = psa_triples()
    triples[0][0][1][0][0] = "cca.software-component"
    path = write(tmp_path, "m.corim", manifest(triples, profile=name))

    assert "not a policy yet" in command("refvalue", "import", path, "--unsigned").stderr
    other = write(tmp_path, "o.corim", manifest(triples, profile="tag:example.com:x"))
    assert "accord-REF-007" in command("refvalue", "import", other, "--unsigned").stderr
    broken = write(tmp_path, "b.corim", cbor2.dumps(1))
    assert "accord-ENC" in command("refvalue", "import", broken, "--unsigned").stderr

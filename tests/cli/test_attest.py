# SPDX-License-Identifier: Apache-2.0
"""`accord attest get`, `verify` and `explain`, with simulated TEEs of every family."""

from __future__ import annotations

import base64
import inspect
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import ASKED, Collected, Command

from accord.cli import _steps
from accord.cli._evidence_file import detect_family
from accord.encoding import canonical_json
from accord.errors import ExitCode, FamilyUnclearError
from accord.evidence import Evidence
from accord.policy import Family

FAMILIES = pytest.mark.parametrize("family", [family.value for family in Family])


@FAMILIES
def test_what_was_collected_is_verified(
    command: Command, collected: dict[str, Collected], family: str
) -> None:
    """Every family: verified, bound, and loudly a simulation."""
    given = collected[family]
    verify = ("attest", "verify", given.path, *given.anchors, "--report-data", ASKED)
    text, document = command(*verify), command(*verify, "--json")

    assert (text.exit_code, document.exit_code) == (0, 0), text.stderr
    assert "! TEST ROOT" in text.stderr
    assert "✓ bound to the report data given" in text.stderr
    assert "assurance   SIMULATED" in text.stdout
    found = document.document
    assert (found["schema"], found["family"]) == ("accord.attestation.v1", family)
    assert (found["root_kind"], found["binding"]) == ("test", "report data")
    assert found["appraisal"] is None


@FAMILIES
def test_a_test_root_is_not_trusted_unless_it_is_named(
    command: Command, collected: dict[str, Collected], family: str
) -> None:
    """The vendors' pinned roots are the default: exit code 3."""
    refused = command("attest", "verify", collected[family].path, "--json")

    assert (refused.exit_code, refused.document["code"]) == (3, "accord-ATT-002")


@FAMILIES
def test_the_bytes_say_whose_they_are(collected: dict[str, Collected], family: str) -> None:
    """Autodetection of raw reports; a TPM's quote may be TXT's."""
    blob = collected[family].evidence.blob
    if family in {"tpm", "txt"}:
        with pytest.raises(FamilyUnclearError, match="of tpm or txt"):
            detect_family(blob, what="file")
    else:
        assert detect_family(blob, what="file").value == family


@FAMILIES
def test_every_verdict_can_be_explained(
    command: Command, collected: dict[str, Collected], family: str
) -> None:
    """A tree of steps, chain, fields and claims; with a wrong root it shows where it failed."""
    given = collected[family]
    good = command("attest", "explain", given.path, *given.anchors, "--json")
    text = command("attest", "explain", given.path, *given.anchors, "--full")
    bad = command("attest", "explain", given.path)

    assert (good.exit_code, text.exit_code, bad.exit_code) == (0, 0, 3)
    steps = good.document["steps"]
    assert {step["verdict"] for step in steps[:-1]} == {"passed"}
    assert len(steps) >= 4
    assert good.document["fields"]
    assert f"{family} evidence, " in text.stdout
    assert ": VERIFIED" in text.stdout
    assert "├── claims, proved" in text.stdout
    assert ": NOT VERIFIED" in bad.stdout
    assert bad.stdout.count("✗") == 1
    assert "error: accord-ATT-002" in bad.stderr


# --- forms of evidence ----------------------------------------------------------------------


def test_evidence_may_be_raw_hex_or_base64(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """Nitro documents carry everything: the same verdict from each form."""
    given = collected["nitro"]
    blob = given.evidence.blob
    forms = {
        "raw": blob,
        "hex": blob.hex().encode() + b"\n",
        "base64": base64.encodebytes(blob),
        "pretty.json": json.dumps(given.evidence.to_json()).encode(),
    }
    for name, data in forms.items():
        (tmp_path / name).write_bytes(data)
        verified = command("attest", "verify", tmp_path / name, *given.anchors)
        assert (name, verified.exit_code) == (name, ExitCode.OK)


def test_a_report_with_the_hosts_table_needs_no_collateral(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """An extended SNP report brings its certificates."""
    from accord.evidence.amd import write_certificate_table

    given = collected["snp"]
    evidence = given.evidence
    table = write_certificate_table(evidence.endorsements)
    (tmp_path / "report").write_bytes(evidence.blob + table)
    verified = command("attest", "verify", tmp_path / "report", *given.anchors)

    assert verified.exit_code in {0, 3}, verified.stderr
    assert "accord-COL" not in verified.stderr or "amd/vcek" in verified.stderr


@pytest.mark.parametrize(
    ("contents", "code"),
    [
        (b"nothing that anybody signed", "accord-ATT-001"),
        (b"", "accord-ATT-001"),
        (b"{}", "accord-ATT-001"),
        (b"[1", "accord-ENC-001"),
        (b"\x00" * (2 << 20), "accord-ENC-003"),
        (b'{"schema":"accord.verdict.v1"}', "accord-ENC-001"),
    ],
)
def test_what_is_no_evidence_is_not_verified(
    command: Command, tmp_path: Path, contents: bytes, code: str
) -> None:
    """No traceback, whatever the file."""
    (tmp_path / "file").write_bytes(contents)
    refused = command("attest", "verify", tmp_path / "file", "--json")

    assert (refused.document["code"], refused.exit_code) == (code, 3)
    for family in ("tdx", "snp", "nitro", "nvidia", "azure"):
        named = command("attest", "verify", tmp_path / "file", "--family", family)
        assert named.exit_code == 3


def test_a_family_that_contradicts_the_document_is_refused(
    command: Command, collected: dict[str, Collected]
) -> None:
    """One of both is wrong."""
    refused = command("attest", "verify", collected["snp"].path, "--family", "tdx", "--json")
    assert refused.document["code"] == "accord-COL-004"


# --- collateral, attachments, binding -------------------------------------------------------


def test_collateral_comes_from_files_by_content_or_by_name(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """The same endorsements as files; a name may be given; without any, the cache is asked."""
    given = collected["tdx"]
    evidence = given.evidence
    (tmp_path / "quote").write_bytes(evidence.blob)
    named = []
    for name, data in evidence.endorsements.items():
        (tmp_path / name).write_bytes(data)
        named += ["--collateral", f"{name}={tmp_path / name}"]
    verify = ("attest", "verify", tmp_path / "quote", *given.anchors)

    assert command(*verify, *named).exit_code == 0
    refused = command(*verify, "--json")
    assert (refused.exit_code, refused.document["code"]) == (3, "accord-COL-006")


def test_attachments_are_named(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """A raw TPM quote with everything that belongs to it."""
    given = collected["tpm"]
    evidence = given.evidence
    (tmp_path / "quote").write_bytes(evidence.blob)
    options: list[object] = ["--family", "tpm"]
    for name, data in evidence.aux.items():
        (tmp_path / name).write_bytes(data)
        options += ["--aux", f"{name}={tmp_path / name}"]
    (tmp_path / "ak.der").write_bytes(evidence.endorsements["ak_certificate"])
    (tmp_path / "chain.pem").write_bytes(evidence.endorsements["ak_chain"])
    options += ["--collateral", tmp_path / "ak.der", "--collateral", tmp_path / "chain.pem"]
    verified = command("attest", "verify", tmp_path / "quote", *options, *given.anchors)

    assert verified.exit_code == 0, verified.stderr


def test_evidence_for_somebody_else_is_refused(
    command: Command, collected: dict[str, Collected]
) -> None:
    """Other report data, another nonce: exit code 3; nothing given is said aloud."""
    for family in ("tdx", "tpm", "nvidia"):
        given = collected[family]
        verify = ("attest", "verify", given.path, *given.anchors)
        other = command(*verify, "--report-data", "00" * 64, "--json")
        nonce = command(*verify, "--nonce", "5a" * 32, "--json")
        nothing = command(*verify)

        assert (other.exit_code, other.document["code"]) == (3, "accord-ATT-007")
        assert (nonce.exit_code, nonce.document["code"]) == (3, "accord-ATT-007")
        assert "! BINDING NOT CHECKED" in nothing.stderr
        assert "not checked: that it was made for you" in nothing.stderr


def test_a_nonce_is_found_in_every_slot(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """As it stands, padded to 64 bytes, or linked: what `get --nonce` made of it."""
    nonce = "0b" * 32
    for family in ("tdx", "keystone", "nitro"):
        place = collected[family].path.parent / family
        out = tmp_path / family
        get = ("attest", "get", "--family", family, "--simulated", place, "--nonce", nonce)
        assert command(*get, "--out", out).exit_code == 0
        verify = ("attest", "verify", out, *collected[family].anchors, "--nonce", nonce)
        assert "✓ bound to the nonce given" in command(*verify).stderr


# --- policies -------------------------------------------------------------------------------


def variant(collected: Collected, **changes: Any) -> dict[str, Any]:
    """A variant that admits the simulated TD."""
    from accord.evidence.intel import parse_tdx

    mrtd = parse_tdx(collected.evidence).report.mrtd  # type: ignore[union-attr]
    found: dict[str, Any] = {"family": "tdx", "simulated": True}
    return found | {"measurements": {"mrtd": [mrtd.hex()]}} | changes


def test_a_policy_admits_or_refuses(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """0 admitted, 1 refused with every reason; with --json one document each."""
    given = collected["tdx"]
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(variant(given)))
    bad.write_text(json.dumps([variant(given, simulated=False)]))
    verify = ("attest", "verify", given.path, *given.anchors, "--policy")
    admitted, refused = command(*verify, good, "--json"), command(*verify, bad, "--json")

    assert (admitted.exit_code, refused.exit_code) == (0, 1)
    assert "submods" in admitted.document["appraisal"]
    assert refused.document["code"] == "accord-ATT-012"
    assert refused.document["attestation"]["family"] == "tdx"
    assert "✓ admitted by variant 0" in command(*verify, good).stderr
    assert "error: accord-ATT-012" in command(*verify, bad).stderr
    explain = ("attest", "explain", given.path, *given.anchors, "--policy")
    assert (command(*explain, good).exit_code, command(*explain, bad).exit_code) == (0, 1)
    assert "VERIFIED, BUT REFUSED" in command(*explain, bad).stdout


def test_a_policy_may_be_whole_or_printed_by_reference(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """A service of a policy, or what `attest reference` prints."""
    given = collected["tdx"]
    service = {
        "attestation": [variant(given)],
        "command": ["/bin/true"],
        "inputs": [],
        "outputs": [],
    }
    policy = {"schema": "accord.policy.v1", "name": "p", "purpose": "research"}
    whole, two, printed = tmp_path / "p.json", tmp_path / "two.json", tmp_path / "r.json"
    whole.write_text(json.dumps(policy | {"services": {"train": service}}))
    two.write_text(json.dumps(policy | {"services": {"train": service, "test": service}}))
    printed.write_text(json.dumps({"anchors": [], "attestation": [variant(given)]}))
    verify = ("attest", "verify", given.path, *given.anchors, "--policy")

    assert command(*verify, whole).exit_code == 0
    assert command(*verify, two, "--service", "train").exit_code == 0
    assert command(*verify, printed).exit_code == 0
    for wrong in ((two,), (two, "--service", "x"), (printed, "--service", "train")):
        assert command(*verify, *wrong, "--json").document["code"] == "accord-POL-002"
    (tmp_path / "empty.json").write_text("[]")
    assert command(*verify, tmp_path / "empty.json").exit_code == 2


# --- stored verdicts ------------------------------------------------------------------------


def test_a_verdict_can_be_repeated_years_later(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """With everything that it rests on; the moment and the anchors are the reader's."""
    given = collected["tdx"]
    stored = tmp_path / "verdict.json"
    verify = ("attest", "verify", given.path, *given.anchors, "--report-data", ASKED)
    assert command(*verify, "--out", stored).exit_code == 0
    now = json.loads(stored.read_text())["now"]

    repeat = ("attest", "verify", stored, *given.anchors, "--now", now)
    again = command(*repeat, "--report-data", ASKED)
    assert again.exit_code == 0
    assert "✓ bound to the report data given" in again.stderr
    assert "! COLLATERAL OF THE STORED VERDICT" in again.stderr
    later = command("attest", "verify", stored, *given.anchors, "--now", "2095-01-01T00:00:00Z")
    assert later.exit_code == 3
    assert command("attest", "verify", stored, "--now", now).exit_code == 3  # not the file's roots
    explained = command(
        "attest", "explain", stored, *given.anchors, "--now", "2095-01-01T00:00:00Z"
    )
    assert "! stored as a verdict of" in explained.stderr


def test_a_verdict_under_a_policy_names_it(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """Repeated without it, or with other anchors, that is said; a folder gets a name."""
    given = collected["tdx"]
    (tmp_path / "p.json").write_text(json.dumps(variant(given)))
    verify = ("attest", "verify", given.path, *given.anchors)
    assert command(*verify, "--policy", tmp_path / "p.json", "--out", tmp_path).exit_code == 0
    (stored,) = tmp_path.glob("verdict-*.json")
    extra = ("--anchor", "sha256:" + 64 * "0")
    again = command("attest", "verify", stored, *given.anchors, *extra)

    assert "stored as admitted by policy sha256:" in again.stderr
    assert "stored under other trust anchors" in again.stderr
    assert stored.read_bytes() == canonical_json(json.loads(stored.read_text()))


def test_a_verdict_that_cannot_be_written_is_an_error(
    command: Command, collected: dict[str, Collected]
) -> None:
    """The path is named."""
    given = collected["nitro"]
    verify = ("attest", "verify", given.path, *given.anchors, "--out", "/proc/none/x", "--json")
    assert command(*verify).document["code"] == "accord-CLI-001"


# --- wrong use ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        ["--report-data", "zz"],
        ["--report-data", "00"],
        ["--nonce", "zz"],
        ["--nonce", ""],
        ["--nonce", "00" * 65],
        ["--aux", "event_log=/dev/null"],
        ["--index", "-1"],
        ["--ear", "result.jwt"],
        ["--key", "home"],
        ["--nonce", "00", "--report-data", "00" * 64],
        ["--now", "yesterday"],
        ["--anchor", "sha256:1"],
        ["--aux", "nothing"],
        ["--aux", "=x"],
        ["--family", "toaster"],
    ],
    ids=" ".join,
)
def test_wrong_options_end_with_2(
    command: Command, collected: dict[str, Collected], options: list[str]
) -> None:
    """Each is named."""
    refused = command("attest", "verify", collected["nitro"].path, *options)
    assert (refused.exit_code, refused.stdout) == (2, "")


def test_steps_are_shown_where_there_are_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them there are none, and nothing breaks."""
    found = _steps.steps_of(Family.NVIDIA)
    assert [step.number for step in found] == sorted({step.number for step in found})
    assert any(step.label.startswith("(2) to (3) ") for step in found)

    def no_source(_: object) -> None:
        raise OSError

    monkeypatch.setattr(inspect, "getsourcelines", no_source)
    assert _steps.steps_of(Family.TDX) == ()


# --- get ------------------------------------------------------------------------------------


def test_get_prints_or_writes_evidence_or_what_was_signed(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """The document by default, the blob with --raw; what it is bound to is said."""
    place = collected["nitro"].path.parent / "nitro"
    get = ("attest", "get", "--family", "nitro", "--simulated", place)
    printed, raw = command(*get), command(*get, "--raw")
    written = command(*get, "--raw", "--out", tmp_path / "blob", "--json")

    assert Evidence.from_bytes(printed.stdout.strip().encode()).family is Family.NITRO
    assert "! BOUND TO NOTHING" in printed.stderr
    assert "! SIMULATED" in printed.stderr
    assert bytes.fromhex(raw.stdout.strip())
    assert (tmp_path / "blob").read_bytes()[:2] == b"\x84\x44"
    assert written.document["file"] == str(tmp_path / "blob")
    assert written.document["anchors"]


def test_get_never_simulates_by_itself(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without the TEE is told so; a simulation needs a family."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    for options in (["--family", "psa"], ["--family", "nvidia"]):
        refused = command("attest", "get", *options, "--json")
        assert refused.document["code"] == "accord-COL-001"
    assert command("attest", "get", "--simulated", tmp_path / "x").exit_code == 2
    for wrong in (["--nonce", ""], ["--nonce", "00" * 65], ["--nonce", "0", "--report-data", "0"]):
        assert command("attest", "get", "--family", "psa", *wrong).exit_code == 2


# --- machines with parts, and broken evidence -----------------------------------------------


def composite(tmp_path: Path, collected: dict[str, Collected], part: Evidence) -> tuple[Any, ...]:
    """A TD with a GPU, and all anchors."""
    whole = replace(collected["tdx"].evidence, parts={"gpu0": part})
    (tmp_path / "composite.json").write_bytes(whole.to_bytes())
    return tmp_path / "composite.json", *collected["tdx"].anchors, *collected["nvidia"].anchors


def test_a_machine_with_a_gpu_is_verified_and_explained(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """The part is named among facts and claims; what it does not prove is said."""
    given = composite(tmp_path, collected, collected["nvidia"].evidence)
    verified = command("attest", "verify", *given, "--report-data", ASKED)
    explained = command("attest", "explain", *given, "--report-data", ASKED)

    assert "✓ part gpu0: nvidia" in verified.stderr
    document = command("attest", "verify", *given, "--json").document
    assert document["gpu_binding"] == "nonce_linked"  # without a policy too
    assert "not checked: that the parts sit in the same machine" in verified.stderr
    assert "✓ parts were asked for together with the whole" in explained.stdout
    assert "✓ bound to the report data given" in explained.stdout


def test_a_part_of_another_question_is_explained(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """A GPU that was asked by somebody else fails at its own step."""
    from accord.testing import create_simulated

    place = collected["nvidia"].path.parent / "nvidia"
    other = create_simulated(Family.NVIDIA, place).collect(bytes(64))
    explained = command("attest", "explain", *composite(tmp_path, collected, other))

    assert (explained.exit_code, explained.stdout.count("✗ parts were")) == (3, 1)


def test_broken_evidence_is_explained_as_far_as_it_goes(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """Cut, or bound to something else: which step failed, and no traceback."""
    given = collected["tdx"]
    cut = replace(given.evidence, blob=given.evidence.blob[:700])
    (tmp_path / "cut.json").write_bytes(cut.to_bytes())
    explained = command("attest", "explain", tmp_path / "cut.json", *given.anchors)
    other = command("attest", "explain", given.path, *given.anchors, "--nonce", "00", "--json")

    assert explained.exit_code == 3
    assert "✗ (1) The bytes are a quote" in explained.stdout
    assert "fields: unreadable" in explained.stdout
    assert other.document["error"]["code"] == "accord-ATT-007"
    assert [step["verdict"] for step in other.document["steps"]].count("failed") == 1


def test_a_failure_outside_every_step_is_still_shown(
    command: Command, collected: dict[str, Collected], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without sources there are no steps, but there is the reason."""
    monkeypatch.setattr("accord.cli._explain.steps_of", lambda _: ())
    explained = command("attest", "explain", collected["tdx"].path)

    assert explained.stdout.count("✗") == 1
    assert "accord-ATT-002" in explained.stdout


@pytest.mark.parametrize("family", ["sgx", "tdx", "snp"])
def test_both_engines_say_the_same(
    command: Command, collected: dict[str, Collected], family: str
) -> None:
    """dcap-qvl judges SGX and TDX; whatever it does not know is left to our own verifier."""
    given = collected[family]
    verify = ("attest", "verify", given.path, *given.anchors, "--now", "2026-12-01T00:00:00Z")
    own, other = (
        command(*verify, "--json", "--engine", engine).document for engine in ("own", "dcap-qvl")
    )

    assert own == other

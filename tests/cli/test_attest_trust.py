# SPDX-License-Identifier: Apache-2.0
"""Attacks on `accord attest verify`: what a prover sends must not decide its own question."""

from __future__ import annotations

import base64
import io
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import ASKED, Collected, Command

from accord.collateral import CollateralCache, Verdict, certify, recognise
from accord.encoding import Digest, format_time
from accord.evidence import Evidence, Role, load_certificates, verify_unbound
from accord.evidence.amd import Product
from accord.evidence.nitro import parse_nitro
from accord.policy import Family
from accord.testing import (
    SimulatedNitro,
    SimulatedPlatform,
    SimulatedSNP,
    SimulatedVendor,
    simulated_measurements,
)

NOW = datetime.now(UTC).replace(microsecond=0)
BEFORE = NOW - timedelta(days=5)
BOUND = bytes.fromhex(ASKED)


@pytest.fixture
def cache(tmp_path: Path) -> CollateralCache:
    """The one that commands of the test use."""
    return CollateralCache(tmp_path / "collateral-cache")


@pytest.fixture
def revoked(tmp_path: Path, cache: CollateralCache) -> tuple[Evidence, str]:
    """A TD that brings its vendor's collateral of last week; the cache knows it is revoked."""
    SimulatedVendor.create(tmp_path / "vendor", now=BEFORE)
    platform = SimulatedPlatform.create(tmp_path / "platform", tmp_path / "vendor", now=BEFORE)
    evidence = platform.attester(simulated_measurements(Role.SHIELD)).collect(BOUND)
    vendor = platform.vendor.revoke(platform.pck_serial)
    bundle = json.dumps(vendor.collateral.to_json()).encode()
    cache.add(certify(recognise(bundle, what="bundle"), anchors=[vendor.root_digest]))
    return evidence, vendor.root_digest


def written(path: Path, evidence: Evidence) -> Path:
    path.write_bytes(evidence.to_bytes())
    return path


# --- older collateral -----------------------------------------------------------------------


def test_a_prover_cannot_hold_back_its_revocation(
    command: Command, revoked: tuple[Evidence, str], tmp_path: Path
) -> None:
    """The list that evidence brings is older than the cache's, in which it is revoked."""
    evidence, root = revoked
    verify_unbound(evidence, anchors=[Digest(root)], now=NOW)  # by what it brings, all is well
    verify = ("attest", "verify", written(tmp_path / "e", evidence), "--anchor", root)
    refused = command(*verify, "--report-data", ASKED, "--json")
    explained = command("attest", "explain", *verify[2:])

    assert (refused.exit_code, refused.document["code"]) == (3, "accord-ATT-004")
    assert "newer collateral than the evidence brought" in explained.stderr


def test_a_verdict_around_it_does_not_help(
    command: Command, revoked: tuple[Evidence, str], tmp_path: Path
) -> None:
    """Only who asks for that very moment again gets what was known then, and is told so."""
    evidence, root = revoked
    verdict = Verdict(evidence, (Digest(root),), NOW, BOUND, None, {})
    (tmp_path / "v").write_bytes(verdict.to_bytes())
    verify = ("attest", "verify", tmp_path / "v", "--anchor", root)
    later = format_time(NOW + timedelta(seconds=1))

    assert command(*verify, "--json").document["code"] == "accord-ATT-004"
    assert command(*verify, "--now", later, "--json").document["code"] == "accord-ATT-004"
    repeated = command(*verify, "--now", format_time(NOW))
    assert repeated.exit_code == 0
    assert "! COLLATERAL OF THE STORED VERDICT" in repeated.stderr


def test_collateral_that_is_named_by_the_verifier_counts(
    command: Command, revoked: tuple[Evidence, str], tmp_path: Path
) -> None:
    """What the command line names was chosen by whoever asks, not by who is asked."""
    evidence, root = revoked
    named = []
    for name, data in evidence.endorsements.items():
        (tmp_path / name).write_bytes(data)
        named += ["--collateral", f"{name}={tmp_path / name}"]
    verify = ("attest", "verify", written(tmp_path / "e", evidence), "--anchor", root)

    assert command(*verify, *named).exit_code == 0


def test_a_chain_beside_the_quote_hides_no_revocation(
    command: Command, revoked: tuple[Evidence, str], tmp_path: Path
) -> None:
    """Another platform's PCK chain, about which the cache knows nothing bad."""
    evidence, root = revoked
    other = SimulatedPlatform.create(tmp_path / "other", tmp_path / "vendor")
    given = {**evidence.endorsements, "pck_certificate_chain": other.pck_chain}
    path = written(tmp_path / "e", replace(evidence, endorsements=given))

    refused = command("attest", "verify", path, "--anchor", root, "--json")
    assert refused.document["code"] == "accord-ATT-004"


def test_half_of_the_collateral_is_completed(
    command: Command, revoked: tuple[Evidence, str], tmp_path: Path
) -> None:
    """Leaving out a list does not make it optional; a list that is none is not newer."""
    evidence, root = revoked
    lists = {"pck_crl": b"no list", "root_ca_crl": b"no list"}
    for given in (
        {k: v for k, v in evidence.endorsements.items() if k not in lists},
        {**evidence.endorsements, **lists},
    ):
        path = written(tmp_path / "e", replace(evidence, endorsements=given))
        refused = command("attest", "verify", path, "--anchor", root, "--json")
        assert refused.document["code"] == "accord-ATT-004"


def test_what_nobody_confirms_is_said(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """Without a cache the prover's collateral is all there is: a warning, and in JSON too."""
    given = collected["tdx"]
    verify = ("attest", "verify", given.path, *given.anchors)
    brought = command(*verify, "--json").document["collateral"]["brought"]

    assert "! COLLATERAL BROUGHT BY THE EVIDENCE ITSELF: intel/" in command(*verify).stderr
    assert {"intel/crl/root", "intel/qe-identity/tdx"} < set(brought)


def test_collateral_of_another_root_displaces_nothing(
    command: Command, collected: dict[str, Collected], revoked: tuple[Evidence, str]
) -> None:
    """The cache has a newer list of another vendor's test root: it is not this one's."""
    given = collected["tdx"]
    assert command("attest", "verify", given.path, *given.anchors).exit_code == 0


@pytest.mark.parametrize("product", [Product.MILAN, Product.GENOA])
@pytest.mark.parametrize("version", [2, 3])
def test_a_revoked_amd_authority_is_noticed_whatever_the_report_brings(
    command: Command, tmp_path: Path, cache: CollateralCache, product: Product, version: int
) -> None:
    """The host's own list is older and empty; a report of version 2 names no product."""
    old = SimulatedSNP.create(tmp_path / "snp", now=BEFORE)
    new = SimulatedSNP.load(tmp_path / "snp")
    cpuid: dict[str, Any] = {} if version > 2 else {"cpuid": None}
    brought = old.collect(
        BOUND, product=product, version=version, endorsed={"revoked": ()}, **cpuid
    )
    fresh = new.endorse(product, "vcek", revoked=["ask"])
    root = new.root_of(product)
    files = [item for data in fresh.values() for item in recognise(data, what="file")]
    cache.add(certify(files, anchors=[root]))
    verify_unbound(brought, anchors=[root], now=NOW)

    for given in (
        brought,
        replace(
            brought, endorsements={k: v for k, v in brought.endorsements.items() if k != "crl"}
        ),
    ):
        path = written(tmp_path / "e", given)
        refused = command("attest", "verify", path, "--anchor", root, "--json")
        assert refused.document["code"] == "accord-ATT-004"


# --- what it is bound to --------------------------------------------------------------------


def test_a_prover_cannot_answer_the_binding_question_itself(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """A verdict around old evidence says what it was bound to: that is nobody's nonce."""
    given = collected["tdx"]
    verdict = Verdict(given.evidence, (), NOW, BOUND, None, {"binding": "report data"})
    (tmp_path / "v").write_bytes(verdict.to_bytes())
    verify = ("attest", "verify", tmp_path / "v", *given.anchors)
    text, document = command(*verify), command(*verify, "--json").document

    assert "bound to the report data given" not in text.stderr
    assert "! BINDING NOT CHECKED" in text.stderr
    assert "as the stored verdict says: not compared" in text.stderr
    assert document["binding"] == "not checked"
    assert document["not_checked"][0].startswith("that it was made for you, and now")
    other = command(*verify, "--report-data", "00" * 64, "--json")
    assert other.document["code"] == "accord-ATT-007"


def test_evidence_that_is_bound_to_nothing_answers_no_nonce(
    command: Command, tmp_path: Path
) -> None:
    """A Nitro document without user data, or with none in it, is anybody's."""
    nitro = SimulatedNitro.create(tmp_path / "nitro")
    empty = nitro.collect(bytes(64), changes={"user_data": b""})
    for index, evidence in enumerate((nitro.collect(bytes(64), left_out=["user_data"]), empty)):
        path = written(tmp_path / f"e{index}", evidence)
        verify = ("attest", "verify", path, "--anchor", nitro.root_digest)
        assert command(*verify).exit_code == 0
        assert command(*verify, "--nonce", "").exit_code == 2
        for asked in (("--nonce", "00"), ("--report-data", "00" * 64)):
            assert command(*verify, *asked, "--json").document["code"] == "accord-ATT-007"


# --- files ----------------------------------------------------------------------------------


def test_a_verdict_is_not_written_through_a_link(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """The link is replaced, its target stays; a device stays a device."""
    given, victim = collected["tdx"], tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "link").symlink_to(victim)
    verify = ("attest", "verify", given.path, *given.anchors, "--out")

    assert command(*verify, tmp_path / "link").exit_code == 0
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "link").is_symlink()
    assert command(*verify, "/dev/null", "--json").document["code"] == "accord-CLI-001"


def test_evidence_comes_from_standard_input_and_in_base64url(
    command: Command, collected: dict[str, Collected], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With - for a name; without padding."""
    given = collected["nitro"]
    text = base64.urlsafe_b64encode(given.evidence.blob).rstrip(b"=")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert command("attest", "verify", "-", *given.anchors).exit_code == 0


def test_too_much_on_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes are limited before anything is read whole."""
    from accord.cli._options import read_stdin
    from accord.errors import TooLargeError

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"12345")))
    with pytest.raises(TooLargeError):
        read_stdin(limit=4)


# --- keys that are trusted by name ----------------------------------------------------------


@pytest.mark.parametrize("family", ["psa", "cca"])
def test_a_pinned_key_is_named_once(
    command: Command, collected: dict[str, Collected], tmp_path: Path, family: str
) -> None:
    """The file with the key is the anchor, and what to verify with."""
    evidence = collected[family].evidence
    name = {"psa": "iak", "cca": "cpak"}[family]
    leaf = evidence.endorsements.get(f"{name}_certificate")
    key = evidence.endorsements[name] if leaf is None else load_certificates(leaf, what="l")[0].spki
    (tmp_path / "key").write_bytes(key)
    path = written(tmp_path / "e", replace(evidence, endorsements={}))
    verify = ("attest", "verify", path, "--report-data", ASKED, "--anchor")

    assert command(*verify, tmp_path / "key").exit_code == 0


def test_a_pinned_tpm_key_is_named_once(
    command: Command, collected: dict[str, Collected], tmp_path: Path
) -> None:
    """A quote with its registers alone, under a key in PEM."""
    evidence = collected["tpm"].evidence
    leaf = load_certificates(evidence.endorsements["ak_certificate"], what="AK")[0]
    (tmp_path / "ak").write_bytes(leaf.spki)
    aux = {k: v for k, v in evidence.aux.items() if not k.startswith("ak_")}
    path = written(tmp_path / "e", Evidence(Family.TPM, evidence.blob, {}, aux))
    verify = ("attest", "verify", path, "--report-data", ASKED)

    assert command(*verify, "--anchor", tmp_path / "ak").exit_code == 0
    assert command(*verify, "--anchor", "sha256:" + "0" * 64).exit_code == 3


def test_a_trusted_root_given_as_collateral_is_no_mistake(command: Command, tmp_path: Path) -> None:
    """Nitro documents need none; a root that is not trusted is to be named with --anchor."""
    nitro = SimulatedNitro.create(tmp_path / "nitro")
    evidence = nitro.collect(BOUND)
    path = written(tmp_path / "e", evidence)
    (tmp_path / "root").write_bytes(parse_nitro(evidence).document.certificates[0])
    verify = ("attest", "verify", path, "--collateral", tmp_path / "root")

    assert command(*verify, "--anchor", nitro.root_digest).exit_code == 0
    refused = command(*verify, "--json")
    assert refused.exit_code == 2
    assert "--anchor" in refused.document["message"]

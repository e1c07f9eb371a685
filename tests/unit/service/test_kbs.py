# SPDX-License-Identifier: Apache-2.0
"""The Key Broker protocol, spoken by a guest that knows nothing of our server."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.support.kbs import (
    PATH,
    SECRET,
    GuestBoard,
    GuestProgram,
    quote_document,
    refused,
    report_document,
)
from tests.support.live import Hardware
from tests.support.recorded import EVIDENCE, needs_evidence

from accord.collateral import CollateralCache
from accord.encoding import Fields
from accord.errors import KBSMissingError, PolicyContentError
from accord.evidence import Evidence, Tier, verify_jwt
from accord.policy import Channel, Family
from accord.release import Machine, ResourceRelease, state_digest, verify_guest
from accord.service.kbs import KeyBroker, _sessions
from accord.service.kbs._messages import read_evidence
from accord.testing import SimulatedSGX, SimulatedSNP


@pytest.fixture
def board(hardware: Hardware, tmp_path: Path) -> GuestBoard:
    return GuestBoard(hardware, tmp_path)


@pytest.fixture(scope="module")
def snp(tmp_path_factory: pytest.TempPathFactory) -> SimulatedSNP:
    return SimulatedSNP.create(tmp_path_factory.mktemp("amd") / "snp")


@pytest.mark.parametrize("version", ["0.1.1", "0.4.0"])
def test_a_guest_fetches_a_secret(board: GuestBoard, version: str) -> None:
    """Request, challenge, attestation, response: the value that its owner deposited."""
    board.guests()
    guest = GuestProgram(board, board.collect, version=version)

    assert {"token"} == guest.attest().json().keys()
    assert guest.opened(guest.fetch()) == SECRET


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "RSA"])
def test_every_kind_of_guest_key_is_served(board: GuestBoard, kind: str) -> None:
    """Elliptic curves with an ephemeral key in the header, and RSA."""
    board.guests()
    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
    key = (
        ec.generate_private_key(curves[kind])
        if kind in curves
        else rsa.generate_private_key(65537, 2048)
    )
    guest = GuestProgram(board, board.collect, key=key)
    guest.attest()

    assert guest.opened(guest.fetch()) == SECRET


def test_binary_secrets_come_as_bytes(board: GuestBoard) -> None:
    """A guest gets a key itself, where a template would write hex."""
    policy = board.guests()
    guest = GuestProgram(board, board.collect)
    guest.attest()
    value = guest.opened(guest.fetch("/kbs/v0/resource/job/train/made"))

    stored = board.store.secret(board.board, f"secret/{policy.digest}/made")
    assert len(value) == 24
    assert stored is not None
    assert value not in stored  # There it is in base64.


def test_children_of_a_namespace_are_reached_with_a_colon(board: GuestBoard) -> None:
    """A repository has no slash, so the names of a policy are joined otherwise."""
    parent = board.policy(name="team")
    board.enact(parent)
    board.guests(
        name="team/job",
        namespace=parent.digest,
        secrets={"seed": {"kind": "binary", "size": 16}},
    )
    guest = GuestProgram(board, board.collect)
    guest.attest()

    assert len(guest.opened(guest.fetch("/kbs/v0/resource/team:job/train/seed"))) == 16
    assert refused(guest.fetch("/kbs/v0/resource/Team/train/seed")) == (404, "accord-SVC-012")


def test_the_hash_is_the_one_that_evidence_carries(board: GuestBoard) -> None:
    """A guest that asks is told SHA-384; one that cannot is told so at once."""
    guest = GuestProgram(board, board.collect)
    asked = guest.begin({"supported-hash-algorithms": ["sha256", "sha384", "sha512"]})

    assert asked.json()["extra-params"] == {"selected-hash-algorithm": "sha384"}
    assert guest.begin({}).json()["extra-params"] == ""
    only = guest.begin({"supported-hash-algorithms": ["sha256"]})
    assert refused(only) == (401, "accord-SVC-071")


def test_the_token_says_what_was_found_and_affirms_nothing(board: GuestBoard) -> None:
    """No policy is asked before a secret is: the status must not pass for an admission."""
    guest = GuestProgram(board, board.collect)
    token = guest.attest().json()["token"]
    ear = verify_jwt(token, key=board.service.keyset.verify_key, now=board.now())

    assert Tier.CONTRAINDICATED is ear.submodules["cpu"].status
    assert ear.expires is not None
    assert ear.expires - ear.issued_at == timedelta(minutes=5)


def test_the_session_is_a_cookie_for_this_protocol_alone(board: GuestBoard) -> None:
    """Neither scripts nor other paths nor plain HTTP get it."""
    guest = GuestProgram(board, board.collect)
    cookie = guest.begin().headers["set-cookie"].lower()

    for attribute in ("httponly", "secure", "path=/kbs/v0", "max-age=300", "samesite=strict"):
        assert attribute in cookie


def test_each_fetch_is_in_the_log_and_can_be_audited(board: GuestBoard) -> None:
    """Decision, evidence and what it is bound to are kept; a replay counts the same uses."""
    board.guests()
    guest = GuestProgram(board, board.collect)
    guest.attest()
    guest.fetch()
    guest.fetch()
    guest.fetch("/kbs/v0/resource/job/train/made")
    read = [
        ResourceRelease.from_fields(Fields(body, "release"))
        for body in board.statements("resource-release")
    ]
    asked = [asyncio.run(board.service.read_object(board.host, item.runtime_data)) for item in read]
    shown = asyncio.run(board.service.read_object(board.host, read[0].evidence))

    assert [item.secret.name for item in read] == ["seed", "seed", "made"]
    assert [[use.number for use in item.uses] for item in read] == [[1], [2], []]
    assert len(set(asked)) == 1
    assert asked[0] is not None
    assert shown is not None
    assert guest.nonce.encode() in asked[0]
    verify_guest(
        Evidence.from_bytes(shown), asked[0], anchors=board.genesis.anchors, now=board.now()
    )
    entries = asyncio.run(board.host.entries(0, board.host.durable_size))
    _, machine = Machine.replay(entries)
    assert state_digest(machine) == state_digest(board.host.machine)
    assert [*machine.uses.values()] == [2]


@pytest.mark.parametrize("newer", [False, True])
def test_an_snp_guest_brings_its_certificates(
    hardware: Hardware, tmp_path: Path, snp: SimulatedSNP, *, newer: bool
) -> None:
    """A report in JSON, in both spellings, with the certificates that the host gave."""
    board = GuestBoard(hardware, tmp_path, snp=snp)
    measured = snp.collect(bytes(64)).blob[0x90:0xC0].hex()
    variant = {
        "family": "snp",
        "simulated": True,
        "measurements": {"measurement": [measured]},
    }
    board.guests(train={"attestation": [variant]})
    guest = GuestProgram(
        board,
        snp.collect,
        tee="snp",
        document=lambda evidence: report_document(evidence, newer=newer),
    )
    guest.attest()

    assert guest.opened(guest.fetch()) == SECRET


def test_a_report_of_a_processor_with_an_fmc_is_written_in_its_order(snp: SimulatedSNP) -> None:
    """From Turin on the levels stand in other bytes."""
    evidence = snp.collect(bytes(64))
    document = report_document(evidence, newer=True)["attestation_report"]
    document["current_tcb"] = {"fmc": 1, "bootloader": 2, "tee": 3, "snp": 4, "microcode": 5}
    found = read_evidence(Family.SNP, {"attestation_report": document})

    assert bytes([1, 2, 3, 4, 0, 0, 0, 5]) == found.blob[0x38:0x40]


@needs_evidence
@pytest.mark.parametrize("newer", [False, True])
def test_recorded_reports_survive_their_spelling(*, newer: bool) -> None:
    """Real reports come back byte for byte from what a guest would have written."""
    found = [path for path in sorted((EVIDENCE / "snp").rglob("*")) if path.stat().st_size == 1184]
    assert found
    for path in found:
        evidence = Evidence(Family.SNP, path.read_bytes())
        if any(evidence.blob[0x3A:0x3E]) or newer:
            continue  # Turin's, which only the newer spelling knows.
        again = read_evidence(Family.SNP, report_document(evidence, newer=newer))
        assert evidence.blob == again.blob


def test_sgx_evidence_is_read(tmp_path: Path) -> None:
    """A quote in base64, as of TDX."""
    evidence = SimulatedSGX.create(tmp_path).collect(bytes(64))
    assert evidence.blob == read_evidence(Family.SGX, quote_document(evidence)).blob


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": "0.2.0"}, (401, "accord-SVC-070")),
        ({"tee": "sample"}, (401, "accord-SVC-071")),
        ({"tee": "az-snp-vtpm"}, (401, "accord-SVC-071")),
        ({"version": 4}, (422, "accord-ENC-001")),
        ({"more": 1}, (422, "accord-ENC-001")),
    ],
)
def test_a_beginning_that_is_not_understood(
    board: GuestBoard, changes: dict[str, Any], expected: tuple[int, str]
) -> None:
    """An unknown version or TEE is refused before evidence is made for nothing."""
    request = {"version": "0.4.0", "tee": "tdx", "extra-params": "", **changes}
    answer = board.call("POST", "/kbs/v0/auth", request)

    assert expected == refused(answer)


KEY = {"kty": "EC", "crv": "P-256", "alg": "ECDH-ES+A256KW", "x": "AA", "y": "AA"}
SHORT = {"kty": "RSA", "alg": "RSA-OAEP-256", "n": "A" * 171, "e": "AQAB"}


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (("runtime-data", "tee-pubkey"), KEY, "ENC"),
        (("runtime-data", "tee-pubkey"), {**KEY, "d": "AA"}, "ENC"),
        (("runtime-data", "tee-pubkey"), {**KEY, "crv": "secp256k1"}, "SVC"),
        (("runtime-data", "tee-pubkey"), {**SHORT, "alg": "RSA1_5"}, "SVC"),
        (("runtime-data", "tee-pubkey"), SHORT, "ENC"),
        (("runtime-data", "nonce"), 1, "ENC"),
        (("tee-evidence", "additional_evidence"), '{"nvidia": 1}', "SVC"),
        (("tee-evidence", "primary_evidence"), [], "ENC"),
        (("tee-evidence", "primary_evidence"), {"quote": "A" * 100_000}, "ENC"),
        (("tee-evidence", "primary_evidence"), {"quote": "AAAA"}, "REL"),
        (("runtime-data", "more"), 1, "ENC"),
    ],
)
def test_an_attestation_that_is_not_understood(
    board: GuestBoard, path: tuple[str, str], value: object, code: str
) -> None:
    """Keys that are none or too weak, evidence of devices, and whatever nobody reads."""
    guest = GuestProgram(board, board.collect)
    guest.begin()
    attestation = guest.attestation()
    attestation[path[0]][path[1]] = value
    answer = guest.show({**attestation, "init-data": {"format": "toml", "body": ""}})

    assert refused(answer)[1].startswith(f"accord-{code}-")
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize(
    "change",
    [
        {"attestation_report": None},
        {"cert_chain": [{"cert_type": "VCEK", "data": "AA"}]},
        {"cert_chain": [{"cert_type": "VCEK", "data": [256]}]},
        {"cert_chain": 1},
        ("version", -1),
        ("version", True),
        ("chip_id", [0] * 63),
        ("signature", {"r": [1.5] * 72}),
        ("current_tcb", []),
    ],
)
def test_a_report_that_is_misspelt(board: GuestBoard, snp: SimulatedSNP, change: Any) -> None:
    """Numbers that do not fit, lists that are too short, and things of another kind."""
    guest = GuestProgram(board, snp.collect, tee="snp", document=report_document)
    guest.begin()
    attestation = guest.attestation()
    evidence = attestation["tee-evidence"]["primary_evidence"]
    if isinstance(change, dict):
        evidence.update(change)
    else:
        evidence["attestation_report"][change[0]] = change[1]

    assert refused(guest.show(attestation))[1] == "accord-ENC-001"


def test_a_platform_without_endorsements_is_told_so(board: GuestBoard, tmp_path: Path) -> None:
    """The operator must fetch them; what is kept where is not told."""
    cache = CollateralCache(tmp_path / "secret-place")
    board.app = board.make_app_with(cache)
    answer = GuestProgram(board, board.collect).attest()

    assert refused(answer) == (401, "accord-SVC-073")
    assert "secret-place" not in answer.text


def test_without_a_cache_only_what_the_guest_brings_counts(board: GuestBoard) -> None:
    """An Intel guest brings nothing, so it is a stranger."""
    board.app = board.make_app_with(None)
    assert refused(GuestProgram(board, board.collect).attest()) == (401, "accord-REL-020")


def test_sessions_end(board: GuestBoard) -> None:
    """After five minutes a guest begins anew, whether it was attested or only challenged."""
    board.guests()
    attested, challenged = (GuestProgram(board, board.collect) for _ in range(2))
    attested.attest()
    challenged.begin()
    board.ahead = timedelta(minutes=5, seconds=1)

    assert refused(attested.fetch()) == (401, "accord-SVC-072")
    assert refused(challenged.show(challenged.attestation())) == (401, "accord-SVC-072")


def test_there_are_only_so_many_sessions(
    board: GuestBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers cannot fill the memory; once sessions have ended there is room again."""
    monkeypatch.setattr(_sessions, "MAX_SESSIONS", 2)
    guest = GuestProgram(board, board.collect)
    assert [guest.begin().status_code for _ in range(3)] == [200, 200, 503]

    board.ahead = timedelta(minutes=6)
    assert guest.begin().status_code == 200


def test_only_the_methods_of_the_protocol_are_answered(board: GuestBoard) -> None:
    """Registering resources or policies over this protocol is nobody's right."""
    for method, path in (("POST", PATH), ("GET", "/kbs/v0/auth"), ("PUT", "/kbs/v0/attest")):
        answer = board.call(method, path)
        assert refused(answer) == (405, "accord-SVC-050")
        assert answer.headers["allow"] in ("GET", "POST")
    assert board.call("POST", "/kbs/v0/resource-policy").status_code == 404


def test_without_the_library_the_service_says_so(
    board: GuestBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra; the service does not start with half a protocol."""
    monkeypatch.setitem(sys.modules, "jwcrypto", None)
    with pytest.raises(KBSMissingError):
        KeyBroker(board.service, board.board)


@pytest.mark.parametrize(
    "field", [{"singleton": True}, {"identity": True}, {"totp": "made"}, {"lease_s": 60}]
)
def test_level_zero_excludes_what_the_protocol_cannot_carry(
    board: GuestBoard, field: dict[str, object]
) -> None:
    """A policy that wants both is refused when it is read, not when a guest comes."""
    with pytest.raises(PolicyContentError):
        board.policy(train={"channel": "L0", **field})


def test_levels_are_ordered() -> None:
    """What suffices for more suffices for less."""
    assert [[level.at_least(wanted) for wanted in Channel] for level in Channel] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]

# SPDX-License-Identifier: Apache-2.0
"""Attacks on secrets through the Key Broker protocol: every one of them must fail."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap
from tests.support.kbs import PATH, SECRET, GuestBoard, GuestProgram, data, refused, text
from tests.support.live import Hardware

from accord.board import AssetWithdrawal, ExecutionStop
from accord.encoding import Digest, Fields, sha256
from accord.errors import (
    ChannelTooWeakError,
    LogKeyError,
    NotAttestedError,
    ReleaseInvalidError,
    SignatureInvalidError,
)
from accord.evidence import Evidence, Role
from accord.identity import KeySigner, sign_statement
from accord.release import ResourceRelease

STRANGER = (401, "accord-REL-020")
NO_SESSION = (401, "accord-SVC-072")


@pytest.fixture
def board(hardware: Hardware, tmp_path: Path) -> GuestBoard:
    board = GuestBoard(hardware, tmp_path)
    board.guests()
    return board


@pytest.fixture
def guest(board: GuestBoard) -> GuestProgram:
    return GuestProgram(board, board.collect)


def released(board: GuestBoard) -> int:
    return len(board.statements("resource-release"))


# --- evidence -------------------------------------------------------------------------------


def test_a_nonce_is_good_once(guest: GuestProgram) -> None:
    """The same attestation, sent again in its session, finds no session."""
    guest.begin()
    first, attestation = guest.cookie, guest.attestation()
    guest.show(attestation)
    guest.cookie = first

    assert refused(guest.show(attestation)) == NO_SESSION


def test_a_failed_attestation_uses_up_the_nonce(guest: GuestProgram) -> None:
    """Nobody tries evidence after evidence against one challenge."""
    guest.begin()
    good, bad = guest.attestation(), guest.attestation(nonce="another")

    assert [refused(guest.show(item)) for item in (bad, good)] == [STRANGER, NO_SESSION]


@pytest.mark.parametrize("version", ["0.1.1", "0.4.0"])
def test_evidence_of_another_session_is_refused(
    board: GuestBoard, guest: GuestProgram, version: str
) -> None:
    """Recorded or relayed: it carries the nonce of where it was made for."""
    guest.version = version
    thief = GuestProgram(board, board.collect, version=version)
    guest.begin()
    thief.begin()

    assert refused(thief.show(guest.attestation())) == STRANGER


@pytest.mark.parametrize("version", ["0.1.1", "0.4.0"])
def test_another_key_beside_good_evidence_is_refused(guest: GuestProgram, version: str) -> None:
    """The operator cannot put its own key where the guest's was."""
    guest.version = version
    guest.begin()
    attestation = guest.attestation()
    guest.key = ec.generate_private_key(ec.SECP256R1())
    attestation.get("runtime-data", attestation)["tee-pubkey"] = guest.public()

    assert refused(guest.show(attestation)) == STRANGER


def test_a_nonce_swapped_in_the_message_alone_is_refused(guest: GuestProgram) -> None:
    """The message names the session's nonce, the evidence an old one."""
    guest.begin()
    assert refused(guest.show(guest.attestation(nonce="b2xk"))) == STRANGER


def test_devices_cannot_be_claimed_beside_evidence(guest: GuestProgram) -> None:
    """Evidence that nobody verifies is not accepted in silence."""
    guest.devices = '{"nvidia":{}}'
    guest.begin()
    assert refused(guest.show(guest.attestation())) == (401, "accord-SVC-071")


def test_evidence_of_a_shield_and_of_a_guest_do_not_serve_each_other(
    board: GuestBoard, guest: GuestProgram
) -> None:
    """One is bound to board, policy and purpose, the other to the protocol's own data."""
    shield = board.shield()
    request = board.request(shield)
    guest.begin()
    attestation = guest.attestation()
    quote = attestation["tee-evidence"]["primary_evidence"]
    as_shield = replace(request, nonce=board.service.challenge(board.host)[0])
    shown = Evidence(request.evidence.family, data(quote["quote"].translate({43: "-", 47: "_"})))
    as_shield = replace(as_shield, evidence=replace(request.evidence, blob=shown.blob))
    with pytest.raises(NotAttestedError):
        board.ask(as_shield)

    quote["quote"] = request.to_json()["evidence"]["blob"]
    assert refused(guest.show(attestation)) == STRANGER


def test_a_stranger_cannot_tell_why_it_is_refused(board: GuestBoard) -> None:
    """Forged, bound to something else, or of another environment's vendor: the same words."""
    forged = GuestProgram(board, board.collect, document=lambda _: {"quote": "AAAA"})
    unbound = GuestProgram(board, lambda _: board.collect(bytes(64)))

    assert len({program.attest().content for program in (forged, unbound)}) == 1


# --- sessions -------------------------------------------------------------------------------


@pytest.mark.parametrize("cookie", [None, "", "0" * 64, "x" * 5000])
def test_sessions_cannot_be_invented(guest: GuestProgram, cookie: str | None) -> None:
    """None, an empty one, a guess, and one far too long."""
    guest.cookie = cookie
    assert refused(guest.fetch()) == NO_SESSION


def test_a_challenged_session_fetches_nothing(board: GuestBoard, guest: GuestProgram) -> None:
    """Only evidence opens the door."""
    guest.begin()
    assert refused(guest.fetch()) == NO_SESSION
    assert released(board) == 0


def test_a_planted_session_does_not_serve_whoever_planted_it(guest: GuestProgram) -> None:
    """Session fixation: once attested the session has a name that the attacker never saw."""
    guest.begin()
    planted = guest.cookie
    guest.show(guest.attestation())
    assert planted != guest.cookie
    guest.cookie = planted

    assert refused(guest.fetch()) == NO_SESSION


def test_two_sessions_in_one_request_are_none(board: GuestBoard, guest: GuestProgram) -> None:
    """Nobody chooses which of two cookies counts."""
    guest.attest()
    guest.cookie = f"{guest.cookie}; kbs-session-id={guest.cookie}"

    assert refused(guest.fetch()) == NO_SESSION
    assert released(board) == 0


def test_the_token_alone_opens_nothing(board: GuestBoard, guest: GuestProgram) -> None:
    """It tells others what was found; whoever picks it up gets no secret for it."""
    token = guest.attest().json()["token"]
    answer = bearer(board, token)

    assert refused(answer) == NO_SESSION


def bearer(board: GuestBoard, token: str) -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(board.app)
        async with httpx.AsyncClient(transport=transport, base_url="https://kbs") as client:
            return await client.get(PATH, headers={"Authorization": f"Bearer {token}"})

    return asyncio.run(run())


def test_a_stolen_session_gets_ciphertext_for_the_guest(
    board: GuestBoard, guest: GuestProgram
) -> None:
    """A thief of the cookie can ask, and cannot read."""
    guest.attest()
    thief = GuestProgram(board, board.collect, cookie=guest.cookie)
    answer = thief.fetch()

    assert guest.opened(answer) == SECRET
    with pytest.raises(InvalidUnwrap):
        thief.opened(answer)


# --- what may be had ------------------------------------------------------------------------


def test_a_service_that_did_not_ask_for_it_is_not_served(
    board: GuestBoard, guest: GuestProgram
) -> None:
    """Evidence without board and policy suffices only where the policy says so (L0)."""
    usual = board.policy(
        name="usual", secrets={"seed": {"kind": "ascii"}}, train={"command": ["{{ accord.seed }}"]}
    )
    board.enact(usual)
    guest.attest()

    assert refused(guest.fetch("/kbs/v0/resource/usual/train/seed")) == (403, "accord-REL-013")


def test_a_resource_of_another_policy_needs_its_environment(
    board: GuestBoard, guest: GuestProgram
) -> None:
    """Admitted for one policy is not admitted for the next."""
    variant = {"family": "tdx", "simulated": True, "measurements": {"mrtd": ["00" * 48]}}
    other = board.policy(
        name="other",
        secrets={"seed": {"kind": "ascii"}},
        train={"channel": "L0", "command": ["{{ accord.seed }}"], "attestation": [variant]},
    )
    board.enact(other)
    guest.attest()

    assert refused(guest.fetch("/kbs/v0/resource/other/train/seed")) == (403, "accord-ATT-012")
    assert guest.opened(guest.fetch()) == SECRET


def test_another_environment_is_refused_the_secret(board: GuestBoard) -> None:
    """Genuine evidence of the wrong program."""
    attester = board.hardware.attester(Role.SHIELD, rtmr0=bytes(48))
    stranger = GuestProgram(board, attester.collect)
    stranger.attest()

    assert refused(stranger.fetch()) == (403, "accord-ATT-012")


@pytest.mark.parametrize("name", ["other", "authority", "identity", "seed2", "..", "%2e%2e"])
def test_a_secret_that_the_service_does_not_use_is_not_had(guest: GuestProgram, name: str) -> None:
    """Neither another secret of the policy, nor its authority, nor a path trick."""
    guest.attest()
    assert guest.fetch(f"/kbs/v0/resource/job/train/{name}").status_code == 404


@pytest.mark.parametrize("path", ["no/train/seed", "job/no/seed", "job%2Ftrain/seed/x"])
def test_what_is_not_there_is_not_found(guest: GuestProgram, path: str) -> None:
    """Policies and services that nobody enacted."""
    guest.attest()
    assert guest.fetch(f"/kbs/v0/resource/{path}").status_code == 404


def test_a_withdrawn_asset_is_refused_within_a_session(
    board: GuestBoard, guest: GuestProgram
) -> None:
    """Each fetch is decided anew: what the session had a moment ago it has no more."""
    guest.attest()
    assert guest.fetch().status_code == 200
    latest = board.host.machine.board.assets["ann/key"].latest
    withdrawal = AssetWithdrawal(board.board, "ann/key", latest)
    signer = board.identity("ann").signer
    board.submit(sign_statement("asset-withdrawal", withdrawal.to_json(), [signer]))

    assert refused(guest.fetch()) == (403, "accord-REL-005")


@pytest.mark.parametrize("scope", ["board", "policy:job", "asset:ann/key"])
def test_a_stop_reaches_guests(board: GuestBoard, guest: GuestProgram, scope: str) -> None:
    """Any member's stop, of the board, the policy or the asset."""
    guest.attest()
    now = board.now().replace(microsecond=0)
    stop = ExecutionStop(board.board, "bob", scope, "something is wrong", now)
    board.submit(sign_statement("execution-stop", stop.to_json(), [board.identity("bob").signer]))

    assert refused(guest.fetch()) == (403, "accord-REL-012")


def test_uses_are_counted_when_many_ask_at_once(hardware: Hardware, tmp_path: Path) -> None:
    """Of twenty fetches at the same time exactly as many succeed as the owner allowed."""
    board = GuestBoard(hardware, tmp_path)
    board.guests(max_uses=5)
    guest = GuestProgram(board, board.collect)
    guest.attest()

    async def run() -> list[int]:
        transport = httpx.ASGITransport(board.app)
        headers = {"Cookie": f"kbs-session-id={guest.cookie}"}
        async with httpx.AsyncClient(transport=transport, base_url="https://kbs") as client:
            answers = await asyncio.gather(*(client.get(PATH, headers=headers) for _ in range(20)))
        return [answer.status_code for answer in answers]

    found = asyncio.run(run())
    assert (found.count(200), found.count(403)) == (5, 15)
    assert released(board) == 5


# --- messages -------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["protected", "encrypted_key", "iv", "ciphertext", "tag"])
def test_a_changed_response_does_not_open(guest: GuestProgram, part: str) -> None:
    """Whoever sits between can destroy a secret and cannot change it."""
    guest.attest()
    answer = guest.fetch()
    message = answer.json()
    changed = bytearray(data(message[part]))
    changed[-3] ^= 1
    message[part] = text(bytes(changed))
    with pytest.raises((InvalidTag, InvalidUnwrap, ValueError, KeyError)):
        guest.opened(httpx.Response(200, content=json.dumps(message)))


@pytest.mark.parametrize(("path", "size"), [("auth", 17 << 10), ("attest", (1 << 20) + 1)])
def test_oversized_messages_are_refused(guest: GuestProgram, path: str, size: int) -> None:
    """Before they are parsed."""
    guest.begin()
    answer = guest.board.call(
        "POST", f"/kbs/v0/{path}", {"version": "0" * size}, cookie=guest.cookie
    )
    assert answer.status_code == 413


def test_neither_secret_nor_nonce_nor_session_is_logged(
    guest: GuestProgram, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even where everything is logged."""
    with caplog.at_level(logging.DEBUG):
        guest.attest()
        guest.fetch()
    logged = caplog.text

    for secret in (SECRET.decode(), guest.nonce, str(guest.cookie)):
        assert secret not in logged


# --- the log --------------------------------------------------------------------------------


def last_release(board: GuestBoard, guest: GuestProgram) -> Mapping[str, Any]:
    guest.attest()
    guest.fetch()
    found: Mapping[str, Any] = board.statements("resource-release")[-1]
    return found


def stage(board: GuestBoard, document: Mapping[str, Any], signer: Any = None) -> None:
    signer = signer or board.service._parts.keys.signer
    board.host.stage(sign_statement("resource-release", document, [signer]))


def test_a_service_gone_wrong_cannot_write_what_nobody_agreed_to(
    board: GuestBoard, guest: GuestProgram
) -> None:
    """Every reader of the log decides again: uses, version and source must be the true ones."""
    fine = last_release(board, guest)
    run = {"run": "run-" + "0" * 32}
    nothing = sha256(b"another")
    cases: list[dict[str, Any]] = [
        {"uses": []},
        {"policy_digest": nothing},
        {"secret": {**fine["secret"], "version": nothing}},
    ]
    for changes in cases:
        with pytest.raises(ReleaseInvalidError):
            stage(board, {**fine, **run, **changes})
    assert released(board) == 1


def test_only_the_log_key_releases(board: GuestBoard, guest: GuestProgram) -> None:
    """A member cannot say that a secret was released, not even a member."""
    fine = last_release(board, guest)
    signer = board.identity("ann").signer
    assert isinstance(signer, KeySigner)
    with pytest.raises((SignatureInvalidError, LogKeyError)):
        stage(board, {**fine, "run": "run-" + "0" * 32}, signer)


def test_a_later_version_ends_it(board: GuestBoard, guest: GuestProgram) -> None:
    """The board votes a version without level 0: sessions that are open end with it."""
    guest.attest()
    enacted = board.host.machine.board.policy("job")
    assert enacted is not None
    predecessor: Digest = enacted.digest
    board.guests(predecessor=predecessor, train={"channel": "L1"})

    assert refused(guest.fetch()) == (403, "accord-REL-013")
    read = Fields(dict(last(board)), "release")
    with pytest.raises(ChannelTooWeakError):
        stage(board, ResourceRelease.from_fields(read).to_json())


def last(board: GuestBoard) -> Mapping[str, Any]:
    """A release as it would have to look under the version in force."""
    enacted = board.host.machine.board.policy("job")
    assert enacted is not None
    return {
        "schema": ResourceRelease.SCHEMA,
        "board": board.board,
        "run": "run-" + "1" * 32,
        "policy": "job",
        "policy_digest": enacted.digest,
        "service": "train",
        "secret": {"name": "made", "source": "policy:job", "version": enacted.digest},
        "evidence": sha256(b"evidence"),
        "runtime_data": sha256(b"runtime data"),
        "assurance": "simulated",
        "result": {},
        "uses": [],
    }

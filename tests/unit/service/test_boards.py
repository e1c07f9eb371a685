# SPDX-License-Identifier: Apache-2.0
"""Boards of one store under one service, then another: who writes, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.live import Hardware, make_service, terms
from tests.support.served import Served

from accord.board import AssetKind, AssetOffer
from accord.encoding import sha256
from accord.errors import (
    AssetKeyError,
    NotWriterError,
    SecretValueError,
    StaleStatementError,
    UnknownAssetError,
    UnknownBoardError,
)
from accord.evidence import Evidence, Role
from accord.identity import seal, sign_statement
from accord.policy import Assurance
from accord.release import ASSET_KEY_PURPOSE, asset_key_context
from accord.service import MemoryStore
from accord.service._store import Stored
from accord.volumes import VolumeKey, key_commitment, new_volume_id


@pytest.fixture
def served(hardware: Hardware, tmp_path: Path) -> Served:
    return Served(hardware, tmp_path)


def test_a_board_that_another_service_founded_is_found_and_taken_over(
    served: Served, hardware: Hardware, caplog: pytest.LogCaptureFixture
) -> None:
    """Two services on one store: the later writer fences the earlier one out, and back."""
    beside = make_service(hardware.attester(Role.SERVICE), store=MemoryStore())
    with pytest.raises(UnknownBoardError):
        asyncio.run(beside.host(served.board))
    beside = make_service(hardware.attester(Role.SERVICE), store=served.store)
    host = asyncio.run(beside.host(served.board))
    envelope = served.proposal(served.policy())
    asyncio.run(beside.submit(host, envelope, None))
    with pytest.raises(NotWriterError):
        served.submit(envelope)
    with caplog.at_level(logging.WARNING, logger="accord.service"):
        asyncio.run(served.service.tick(renew=True))
    # Asked once more it takes over, and knows what the other one recorded.
    assert served.submit(envelope) == host.machine.board.recorded[envelope.statement_digest]
    assert len(served.host.machine.started) == len(host.machine.started) + 1
    served.vote(envelope.statement_digest, "ann", "bob")
    assert served.host.machine.board.policy("job") is not None


def test_a_board_founded_later_beside_is_found_when_somebody_asks_for_it(
    hardware: Hardware, tmp_path: Path
) -> None:
    """A service that was running when another one founded the board serves it too."""
    store = MemoryStore()
    early = make_service(hardware.attester(Role.SERVICE), store=store)
    served = Served(hardware, tmp_path, store=store)
    host = asyncio.run(early.host(served.board))

    assert (served.board, True) == (host.board, host.writes)
    again = asyncio.run(early.found(served.envelope))
    assert again is host


def test_a_service_under_roots_that_a_board_does_not_know_is_worth_the_least(
    hardware: Hardware, tmp_path: Path
) -> None:
    """Evidence that the board cannot verify gives no assurance."""

    class Foreign:
        def __init__(self) -> None:
            self._genuine = hardware.attester(Role.SERVICE)
            self.measurements = self._genuine.measurements

        def collect(self, _report_data: bytes) -> Evidence:
            return self._genuine.collect(bytes(64))

        def seal_key(self, label: str) -> bytes:
            return self._genuine.seal_key(label)

    served = Served(hardware, tmp_path)
    service = make_service(Foreign(), store=MemoryStore())  # type: ignore[arg-type]
    asyncio.run(service.found(served.envelope))

    assert {served.board: Assurance.SIMULATED} == service._boards.assurance


def test_the_end_makes_everything_durable_and_the_next_start_goes_on(served: Served) -> None:
    """Closed, the state is saved; a board whose disk failed keeps the others from nothing."""
    served.enact(served.policy())
    served.service.close()

    assert served.store.projection(served.board) is not None
    served.restart()
    assert served.host.machine.board.policy("job") is not None


def test_a_disk_that_fails_at_the_end_is_told(
    hardware: Hardware, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What could not be made durable was never acknowledged; the operator reads that it failed."""

    class Failing(MemoryStore):
        full = False

        def append(self, board: str, first: int, batch: Sequence[Stored], *, fence: int) -> None:
            if self.full:
                raise OSError(28, "No space left on device")
            super().append(board, first, batch, fence=fence)

    store = Failing()
    served = Served(hardware, tmp_path, store=store)
    store.full = True
    served.host.stage(served.proposal(served.policy()))
    with caplog.at_level(logging.WARNING, logger="accord.service"):
        asyncio.run(served.service.tick())
        served.service.close()

    assert "accord-SVC-011" in caplog.text


def test_one_boards_failure_does_not_stop_the_clock_of_the_others(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug that shows on one board is told by its type, and the timer goes on."""

    def broken(*_: object) -> Any:
        message = "a secret in an exception"
        raise KeyError(message)

    monkeypatch.setattr(served.service._enactments, "enact", broken)
    with caplog.at_level(logging.ERROR, logger="accord.service"):
        asyncio.run(served.service.tick(renew=True))

    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text


# --- what a release finds changed, or gone --------------------------------------------------


def offer_volume(served: Served, *, with_key: bool = True) -> str:
    """Ann offers a volume; returns its tag."""
    key, volume_id = VolumeKey.generate(), new_volume_id()
    offer = AssetOffer(
        board=served.board,
        name="ann/data",
        kind=AssetKind.VOLUME,
        tag=sha256(b"tag"),
        terms=terms(),
        predecessor=None,
        volume_id=volume_id,
        key_commitment=key_commitment(key, volume_id=volume_id),
    )
    envelope = sign_statement("asset", offer.to_json(), [served.identity("ann").signer])
    sealed = seal(
        key.raw,
        served.service.keyset.seal_key,
        purpose=ASSET_KEY_PURPOSE,
        context=asset_key_context(envelope.statement_digest),
    )
    served.submit(envelope, sealed_key=sealed if with_key else None)
    return str(offer.tag)


def test_an_offer_without_what_it_offers_is_refused(served: Served) -> None:
    """A volume whose key nobody deposited could never be released."""
    with pytest.raises(AssetKeyError):
        offer_volume(served, with_key=False)


def test_a_release_carries_the_keys_of_its_inputs_and_the_readers_of_its_outputs(
    served: Served,
) -> None:
    """The key that the owner deposited, for exactly the version that was voted on."""
    tag = offer_volume(served)
    train = {
        "inputs": [{"asset": "ann/data", "tag": tag, "at": "/in/data"}],
        "outputs": [{"name": "model", "at": "/out/model", "readers": ["ann"]}],
    }
    served.enact(served.policy(train=train))
    grant = served.release()

    assert [("ann/data", tag, 32)] == [(i.asset, i.tag, len(i.key)) for i in grant.inputs]
    assert [reader.name for reader in grant.readers] == ["ann"]


def test_a_policy_that_changed_while_a_release_was_prepared_is_not_released(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fetched for one version is not handed out under another."""
    secrets = {"otp": {"kind": "binary", "size": 20}}
    first = served.policy(secrets=secrets, train={"totp": "otp"})
    served.enact(first)
    releases, shield = served.service._releases, served.shield()
    prepare = releases._prepare

    async def overtaken(*arguments: Any) -> Any:
        prepared = await prepare(*arguments)
        return replace(prepared, policy=sha256(b"an older version"))

    monkeypatch.setattr(releases, "_prepare", overtaken)
    monkeypatch.setattr("accord.service._guesses.totp_step", lambda *_, **__: 7)
    with pytest.raises(StaleStatementError) as refused:
        served.release(shield, otp="000000")
    assert refused.value.refusal
    assert dict(served.host.machine.runs) == {}


@pytest.mark.parametrize("gone", ["input", "secret", "authority", "password", "certified key"])
def test_a_value_that_the_store_lost_is_never_replaced(
    served: Served, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    """Fail closed: what is not there is said to be missing, and nothing else is sent instead."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    train: dict[str, Any] = {"lease_s": 600}
    given: dict[str, Any] = {}
    if gone == "input":
        tag = offer_volume(served)
        train["inputs"] = [{"asset": "ann/data", "tag": tag, "at": "/in/data"}]
    elif gone == "secret":
        train["environment"] = {"OTP": "{{ accord.otp:hex }}"}
    elif gone == "password":
        train["totp"], given["otp"] = "otp", "000000"
    else:
        train["identity"] = True
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        given["tls_spki"] = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    secrets = {"otp": {"kind": "binary", "size": 20}}
    served.enact(served.policy(secrets=secrets, authority=True, train=train))
    shield = served.shield()
    if gone == "certified key":
        run = served.release(shield, **given).run
        monkeypatch.setattr(served.store, "object", lambda *_: None)
        served.ahead += timedelta(seconds=60)
        with pytest.raises(SecretValueError):
            served.renew(shield, run)
        return
    monkeypatch.setattr(served.store, "secret", lambda *_: None)
    with pytest.raises((SecretValueError, UnknownAssetError)):
        served.release(shield, **given)


def test_a_run_statement_again_is_the_same_entry(served: Served) -> None:
    """A shield whose answer was lost sends its statement again."""
    from accord.release import RunOutcome, RunStatement

    policy = served.policy()
    served.enact(policy)
    shield = served.shield()
    grant = served.release(shield)
    now = served.now().replace(microsecond=0)
    statement = RunStatement(
        served.board,
        grant.run,
        policy.digest,
        "train",
        grant.assurance,
        (),
        (),
        RunOutcome.SUCCEEDED,
        now,
        now,
    )
    envelope = sign_statement("run", statement.to_json(), [shield.signer])
    first = asyncio.run(served.service.record_run(served.host, envelope))

    assert first == asyncio.run(served.service.record_run(served.host, envelope))

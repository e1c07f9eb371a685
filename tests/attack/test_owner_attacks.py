# SPDX-License-Identifier: Apache-2.0
"""What owner, operator and strangers of a trust service try, over real HTTP and TLS."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.attack.test_service_attacks import exchange
from tests.support.live import (
    Board,
    Hardware,
    ServiceProcess,
    claim,
    found_board,
    release_request,
    service_pins,
    store_key,
)
from tests.support.served import Served
from tests.support.wire import ROUTES, signed_read, tls_key

from accord.client import AttestedService, TrustSession
from accord.encoding import Envelope, base64_decode, base64_encode, canonical_json
from accord.errors import (
    AlreadyClaimedError,
    PolicyPendingError,
    ReplyError,
    SignatureInvalidError,
)
from accord.evidence import Role
from accord.identity import FileIdentity, sign_statement
from accord.policy import Policy
from accord.release import Refusal
from accord.secrets import SecretValue
from accord.service import SQLiteStore

pytestmark = pytest.mark.e2e

VIEWS = ("status", "members", "proposals", "policies", "secrets", "executions", "releases")


def with_secrets(board: Board) -> Policy:
    """The policy ``job`` with generated secrets, enacted."""
    document: dict[str, Any] = board.policy({}).to_json()
    document["secrets"] = {"password": {"kind": "ascii"}, "seed": {"kind": "binary"}}
    document["services"]["train"]["environment"] = {"PASSWORD": "{{ accord.password }}"}
    tag = board.offer("ann", "data", text="the patient is well\n")
    place = {"asset": "ann/data", "tag": tag, "at": "/in/data"}
    document["services"]["train"]["inputs"] = [place]
    policy = Policy.from_json(document)
    board.vote(board.propose("bob", policy), "ann", "bob")
    return policy


def test_owner_and_operator_of_the_service_read_no_secret(
    service: ServiceProcess, hardware: Hardware, tmp_path: Path
) -> None:
    """The owner's key opens no route; disk and log of the operator hold no value in plaintext."""
    board = found_board(tmp_path / "board", hardware, service.start().url)
    policy = with_secrets(board)
    owner = FileIdentity.load(service.folder / "owner")
    paths = [path.format(board=board.path) for method, path in ROUTES if method == "GET"]
    paths += [f"{board.path}/{view}" for view in VIEWS]
    key, heard = tls_key(board.url), b""
    for path in paths:
        headers = signed_read(owner, board.genesis.digest, path, key)
        status, body = exchange(board.url, "GET", path, headers=headers)
        heard += body
        if path.startswith(board.path) and not path.endswith("genesis"):
            assert (path, True) == (path, status in (401, 403, 404))
    service.stop()
    store = SQLiteStore(service.state / "state.db", store_key(hardware))
    values = []
    for name in policy.secrets:
        stored = store.secret(board.genesis.digest, f"secret/{policy.digest}/{name}")
        assert stored is not None
        values.append(SecretValue.from_bytes(stored).private)
    store.close()
    operator = [file.read_bytes() for file in service.folder.rglob("*") if file.is_file()]

    for value in values:
        for spelling in (value, value.hex().encode(), base64_encode(value).encode()):
            assert not any(spelling in data for data in (heard, *operator))


def test_nobody_takes_over_a_service_that_has_an_owner(
    service: ServiceProcess, hardware: Hardware, tmp_path: Path
) -> None:
    """A second claim is refused and names the owner; after a restart as well."""
    url = service.start().url
    with pytest.raises(AlreadyClaimedError) as refused:
        claim(url, hardware, tmp_path / "thief")
    service.restart()
    with pytest.raises(AlreadyClaimedError):
        claim(service.url, hardware, tmp_path / "thief")
    owner = FileIdentity.load(service.folder / "owner")

    assert owner.signer.key_id in str(refused.value)
    with AttestedService.attest(service.url, service_pins(hardware)) as attested:
        held = attested.owner().claim
    assert held is not None
    assert owner.public == held.owner


def test_strangers_hear_the_same_bytes_whatever_is_there(board: Board) -> None:
    """No policy, a pending one, one in force: without evidence the answers are equal."""
    board.enact({"ann/data": board.offer("ann", "data")})
    with TrustSession.attest(board.url, board.genesis) as session:
        honest = board.request(session)
        wrong = [
            replace(board.request(session), evidence=honest.evidence),
            replace(board.request(session), policy="nothing"),
            replace(board.request(session), service="nothing"),
            board.request(session, nonce=bytes(32)),
        ]
    answers = {
        exchange(board.url, "POST", f"{board.path}/releases", canonical_json(item.to_json()))
        for item in wrong
    }

    ((status, body),) = answers
    assert (status, json.loads(body)["code"]) == (422, "accord-REL-020")
    assert json.loads(body)["details"] == {}


def test_an_attested_requester_gets_a_refusal_that_the_service_signed(board: Board) -> None:
    """What the client raises is what was signed, by the attested key, for this request."""
    tag = board.offer("ann", "data")
    board.propose("bob", board.policy({"ann/data": tag}))
    with TrustSession.attest(board.url, board.genesis) as session:
        request = board.request(session)
        with pytest.raises(PolicyPendingError) as refused:
            session.release(request)
        key = session.keyset.verify_key
    envelope = Envelope.from_bytes(refused.value.refusal or b"", what="refusal")
    refusal = Refusal.from_fields(_verified(envelope, key))

    assert (request.nonce, board.genesis.digest) == (refusal.nonce, refusal.board)
    assert "ann" in refusal.details["missing"]
    assert refusal.details["missing"] == refused.value.details["missing"]


def _verified(envelope: Envelope, key: Any) -> Any:
    from accord.identity import verify_statement

    return verify_statement(envelope, "refusal", {key.key_id: key}).fields()


@pytest.mark.parametrize("flaw", ["unsigned", "of another request"])
def test_a_refusal_that_somebody_made_up_is_not_believed(
    board: Board, monkeypatch: pytest.MonkeyPatch, flaw: str
) -> None:
    """A refusal that is not the service's, or was given to somebody else, is told as such."""
    with TrustSession.attest(board.url, board.genesis) as session:
        with pytest.raises(Exception, match="never enacted") as refused:
            session.release(board.request(session))
        error, request = refused.value, board.request(session)
        assert hasattr(error, "refusal")
        if flaw == "unsigned":
            document = json.loads(error.refusal)
            body = json.loads(base64_decode(document["payload"], what="payload"))
            body["nonce"] = base64_encode(request.nonce)
            thief = FileIdentity.load(board.home("bob")).signer
            error.refusal = sign_statement("refusal", body, [thief]).to_bytes()

        def answered(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(session._connection, "send", answered)
        with pytest.raises(SignatureInvalidError if flaw == "unsigned" else ReplyError):
            session.release(request)


def test_the_last_uses_are_given_out_exactly_once_also_for_deposited_secrets(
    hardware: Hardware, tmp_path: Path
) -> None:
    """Fifty shields at once, seven uses of a secret: seven get it."""
    from concurrent.futures import ThreadPoolExecutor

    served = Served(hardware, tmp_path)
    served.deposit("token", b"the value", max_uses=7)
    asset = {"token": {"kind": "asset", "asset": "ann/token"}}
    served.enact(
        served.policy(
            secrets=asset, train={"environment": {"TOKEN": "{{ accord.token }}"}, "lease_s": 60}
        )
    )
    attester = hardware.attester(Role.SHIELD)
    with served.over_http() as url:
        board = Board(tmp_path, hardware, url, served.genesis, ("ann", "bob"), served.envelope)

        def ask(_number: int) -> str:
            with TrustSession.attest(url, served.genesis) as session:
                try:
                    session.release(release_request(board, attester, session))
                except Exception as exc:  # noqa: BLE001 - counted below
                    return type(exc).__name__
            return "released"

        with ThreadPoolExecutor(50) as pool:
            outcomes = list(pool.map(ask, range(50)))

    assert {name: outcomes.count(name) for name in set(outcomes)} == {
        "released": 7,
        "UsesExhaustedError": 43,
    }

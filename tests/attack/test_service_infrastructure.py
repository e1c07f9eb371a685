# SPDX-License-Identifier: Apache-2.0
"""Attacks on what is around the decisions: one member, peer or proxy against the whole service."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.live import OWNER, Hardware, make_service, running_app
from tests.support.served import Served

from accord.channel import PrivateAddressError, TLSIdentity, connect, is_public
from accord.client import Founding, ServiceConfig
from accord.encoding import Envelope, base64_encode
from accord.errors import (
    AccordError,
    ClaimInvalidError,
    EvidenceMissingError,
    MalformedError,
    PeerExchangeError,
    ServiceHaltedError,
    StoreIntegrityError,
    StoreUnavailableError,
)
from accord.evidence import Evidence, Role
from accord.identity import sign_statement
from accord.policy import Policy
from accord.service import Limits, MemoryStore, TrustService, create_app


@pytest.fixture
def served(hardware: Hardware, tmp_path: Path) -> Served:
    return Served(hardware, tmp_path)


# --- enactments that do not fit ---------------------------------------------------------------


def laden(served: Served, number: int, secrets: int) -> Policy:
    """A policy with so many secrets."""
    spec = {"kind": "ascii"}
    return Policy.from_json(
        {
            **served.policy().to_json(),
            "name": f"laden{number}",
            "secrets": {f"s{item}": spec for item in range(secrets)},
        }
    )


def test_a_proposal_with_more_secrets_than_fit_is_not_taken(served: Served) -> None:
    """512 together are allowed, one more is refused before anybody votes."""
    policies = [laden(served, number, 128) for number in range(4)]
    served.submit(served.proposal(*policies))
    with pytest.raises(MalformedError, match="513 secrets, more than 512"):
        served.submit(served.proposal(*policies, laden(served, 4, 1)))


def test_an_enactment_that_does_not_fit_blocks_neither_its_board_nor_the_next_start(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays undone, the log says so, and everything after it is enacted."""
    monkeypatch.setattr("accord.board._proposal.MAX_SECRETS", 10_000)
    common = {"kind": "x509", "common_name": "a", "endpoint": "client"}
    many = Policy.from_json(
        {
            **served.policy().to_json(),
            "name": "many",
            "secrets": {f"s{number}": common for number in range(8)},
        }
    )
    stage = type(served.host).stage

    def too_large(host: Any, envelope: Envelope, **given: Any) -> int:
        if "enactment" in envelope.payload_type and len(envelope.payload) > 4096:
            raise MalformedError(what="entry", detail="it is too large")
        return stage(host, envelope, **given)

    monkeypatch.setattr(type(served.host), "stage", too_large)
    served.enact(many)
    assert served.host.machine.board.policy("many") is None
    served.enact(served.policy())
    assert served.host.machine.board.policy("job") is not None

    served.restart()
    assert (served.host.writes, served.service.halted) == (True, 0)
    served.enact(Policy.from_json({**served.policy().to_json(), "name": "after"}))
    assert served.host.machine.board.policy("after") is not None


def test_a_board_that_does_not_hold_stops_no_other_board(
    hardware: Hardware, tmp_path: Path
) -> None:
    """Its requests are refused in words; the others are served; /healthz says that one halted."""
    good = Served(hardware, tmp_path / "good")
    bad = Served(hardware, tmp_path / "bad", store=good.store)
    entries = good.store._entries[bad.board]
    entries[1] = entries[1].replace(b"service-start", b"service-stars", 1)

    service = good.start()
    assert asyncio.run(service.host(good.board)).writes
    with pytest.raises(ServiceHaltedError, match="does not hold"):
        asyncio.run(service.host(bad.board))
    assert service.halted == 1
    answer = asyncio.run(get(service, "/healthz"))
    assert (answer.status_code, answer.json()) == (503, {"status": "halted"})


# --- whose start a release follows ------------------------------------------------------------


class Unreliable:
    """The quote provider of the machine, which fails while ``fails`` is set."""

    def __init__(self, attester: Any) -> None:
        self._attester, self.fails = attester, True

    def collect(self, report_data: bytes) -> Evidence:
        if self.fails:
            raise EvidenceMissingError(member="nobody")
        found: Evidence = self._attester.collect(report_data)
        return found


def test_nothing_is_released_after_another_services_start(served: Served) -> None:
    """A service that takes over but cannot attest itself does not write: it tries again first."""
    served.enact(served.policy())
    fenced = served.service
    served.restart()
    starts = len(served.statements("service-start"))
    attester = Unreliable(fenced._parts.attester)
    object.__setattr__(fenced._parts, "attester", attester)
    served.service = fenced
    served.host = asyncio.run(fenced.host(served.board))
    envelope = served.proposal(laden(served, 1, 1))
    for _ in range(3):  # The first one only tells it that it was fenced.
        with pytest.raises(AccordError):
            served.submit(envelope)
    assert not served.host.writes

    attester.fails = False
    served.host = asyncio.run(fenced.host(served.board))
    served.submit(envelope)
    assert (starts + 1, True) == (len(served.statements("service-start")), served.host.writes)


def test_a_service_that_cannot_attest_itself_at_its_start_becomes_a_reader(
    served: Served,
) -> None:
    """It says nothing on the board, and begins as soon as it can."""
    attester = Unreliable(served.hardware.attester(Role.SERVICE))
    service = TrustService(
        store=served.store,
        attester=attester,  # type: ignore[arg-type]
        tls_spki_sha256=bytes(32),
        clock=served.now,
        entropy=bytes,
    )
    host = asyncio.run(service.host(served.board))
    assert not host.writes
    attester.fails = False
    served.service, served.host = service, host
    served.submit(served.proposal(served.policy()))
    assert host.writes


# --- who asks -----------------------------------------------------------------------------------


def test_a_header_does_not_change_who_asks(hardware: Hardware) -> None:
    """X-Forwarded-For is anybody's to write: the limits and /metrics go by the connection."""
    tls = TLSIdentity.generate()
    app = create_app(
        make_service(hardware.attester(Role.SERVICE)), limits=Limits(requests_per_s=10)
    )
    with running_app(app, tls) as url, httpx.Client(verify=False, base_url=url) as client:  # noqa: S501
        statuses = [
            client.get("/v1/version", headers={"X-Forwarded-For": f"10.0.{number}.1"}).status_code
            for number in range(100)
        ]
    assert {200, 429} == set(statuses)


# --- the owner's configuration ------------------------------------------------------------------


class SlowStore(MemoryStore):
    """Keeps a configuration with fewer boards waiting less."""

    def replace_setting(self, name: str, expected: bytes | None, value: bytes) -> bool:
        time.sleep(0.1)
        return super().replace_setting(name, expected, value)


def configuration(service: TrustService, sequence: int, boards: int) -> Envelope:
    wishes = ServiceConfig(
        service.keyset.verify_key.key_id, sequence, Founding.ANYONE, max_boards=boards
    )
    return sign_statement("service-config", wishes.to_json(), [OWNER])


def test_of_two_configurations_at_once_the_newer_one_stays(hardware: Hardware) -> None:
    """In one process, and in two on one store, in memory as in the store."""
    store = SlowStore()
    first = make_service(hardware.attester(Role.SERVICE), store=store)
    second = make_service(hardware.attester(Role.SERVICE), store=store)

    async def run() -> list[object]:
        calls = [
            first.configure(configuration(first, 3, 0)),
            first.configure(configuration(first, 2, 1000)),
            second.configure(configuration(second, 4, 1)),
            second.configure(configuration(second, 1, 1000)),
        ]
        return list(await asyncio.gather(*calls, return_exceptions=True))

    answers = asyncio.run(run())
    assert any(isinstance(answer, ClaimInvalidError) for answer in answers)
    for service in (first, second):
        _, config = asyncio.run(service.owner())
        assert (config.sequence, config.max_boards) == (4, 1)


# --- what strangers read ------------------------------------------------------------------------


async def get(service: TrustService, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="https://service") as client:
        return await client.get(path)


@pytest.mark.parametrize("error", [StoreUnavailableError, StoreIntegrityError])
def test_strangers_are_not_told_where_the_store_is(
    hardware: Hardware,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: type[AccordError],
) -> None:
    """The code is told; address, account and the driver's words are the operator's."""
    service = make_service(hardware.attester(Role.SERVICE))

    def fails(_store: MemoryStore, _name: str) -> bytes:
        raise error(path="postgresql://db7.internal/accord", detail="user accord_rw at 10.3.2.1")

    monkeypatch.setattr(MemoryStore, "setting", fails)
    for path in ("/healthz", "/v1/service"):
        answer = asyncio.run(get(service, path))
        assert error.code == answer.json()["code"]
        assert not any(word in answer.text for word in ("db7", "accord_rw", "10.3.2.1"))
    assert "db7.internal" in caplog.text
    assert "accord_rw" in caplog.text


# --- looking around in the operator's network ---------------------------------------------------


@contextmanager
def banner() -> Iterator[tuple[str, list[str]]]:
    """Something on the operator's machine that greets whoever connects, and who did."""
    callers: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        ends = threading.Event()

        def greet() -> None:
            while not ends.is_set():
                try:
                    connection, address = listener.accept()
                except TimeoutError:
                    continue
                callers.append(address[0])
                with connection:
                    connection.sendall(b"SSH-2.0-OpenSSH_9.6 internal\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}", callers
        finally:
            ends.set()
            thread.join()


def importing(served: Served, url: str, name: str) -> Policy:
    """A policy that imports a secret from whatever is at ``url``."""
    log_key = base64_encode(served.service.keyset.verify_key.raw)
    spec = {
        "kind": "import",
        "policy": "job",
        "secret": "key",
        "service": {"board": served.board, "log_key": log_key, "url": url},
    }
    policy = served.policy(secrets={"x": spec}, train={"environment": {"X": "{{ accord.x:hex }}"}})
    return Policy.from_json({**policy.to_json(), "name": name})


def test_an_import_does_not_tell_what_listens_at_an_address(served: Served) -> None:
    """Open, closed and silent ports look alike: a code, and no word of the other side."""
    told = set()
    with banner() as (url, callers):
        for number, address in enumerate((url, "https://127.0.0.1:9", "https://no.invalid:1")):
            served.enact(importing(served, address, f"p{number}"))
            with pytest.raises(PeerExchangeError) as refused:
                served.release(policy=f"p{number}")
            told.add(refused.value.details["detail"])
    assert callers
    assert {"accord-CHN-001"} == told


def test_members_cannot_reach_the_operators_own_network(served: Served) -> None:
    """Unless the operator allows it, loopback and private addresses are not even tried."""
    service = served.service
    strict = replace(service._parts, private_peers=False)
    service._exchange._parts = service._approvals._parts = strict
    with banner() as (url, callers):
        served.enact(importing(served, url, "p"))
        with pytest.raises(PeerExchangeError):
            served.release(policy="p")
        with pytest.raises(PrivateAddressError):
            connect("localhost", int(url.rpartition(":")[2]), 5, public_only=True)
    assert callers == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("192.168.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - is refused
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::101:101", True),
        ("2002:7f00:1::", False),
    ],
)
def test_only_addresses_of_the_public_net_are_public(address: str, *, public: bool) -> None:
    """However they are written: an IPv4 address inside an IPv6 address counts as itself."""
    assert public == is_public(address)

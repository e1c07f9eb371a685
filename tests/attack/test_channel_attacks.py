# SPDX-License-Identifier: Apache-2.0
"""Somebody between a client and its trust service, at both channel levels, over real sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from starlette.types import Receive, Scope, Send
from tests.support import wire
from tests.support.live import Hardware, make_genesis

from accord.board import Genesis
from accord.channel import EXTENSION, Exporter, PinnedContext, Side, TLSIdentity, binder, to_problem
from accord.client import TrustSession
from accord.encoding import Digest, Fields, base64_encode, canonical_json, parse_json
from accord.errors import (
    AccordError,
    AppraisalError,
    BindingMismatchError,
    PinMismatchError,
    ReplyError,
    ServiceChangedError,
    UnreachableError,
)
from accord.evidence import Evidence, Purpose, Role, verify
from accord.identity import Keyset, KeySigner, SealKey
from accord.policy import Channel
from accord.release import ReleaseRequest, service_binding, shield_binding
from accord.service._server import server_config

NONCE = bytes(32)
LEVELS = (Channel.L1, Channel.L2)


def fresh_keyset(tls: TLSIdentity | None = None) -> Keyset:
    signer = KeySigner(Ed25519PrivateKey.generate())
    seal = SealKey(X25519PrivateKey.generate().public_key().public_bytes_raw())
    return Keyset(signer.verify_key, seal, tls.spki_sha256 if tls else None)


BinderOf = Callable[[Exporter, bytes], "bytes | None"]


@dataclass
class Service:
    """What a trust service says and checks about its channel, and nothing else of it."""

    hardware: Hardware
    genesis: Genesis
    tls: TLSIdentity = field(default_factory=TLSIdentity.generate)
    role: Role = Role.SERVICE
    binder_of: BinderOf | None = None
    """Another binder for the service's evidence than the honest one."""

    reflected: Evidence | None = None
    """What is sent in the place of the service's own evidence."""

    one_request: bool = False
    """Whether each answer ends the connection."""

    asked: list[str] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)
    challenges: set[bytes] = field(default_factory=set)
    sent: list[Evidence] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keyset = fresh_keyset(self.tls)
        self.attester = self.hardware.attester(self.role)

    @contextlib.contextmanager
    def running(self, *, exporters: bool = True) -> Iterator[str]:
        """Serves in a thread, as the real service does or without handing out exporters."""
        config = server_config(self, self.tls)
        config.lifespan = "off"
        if not exporters:
            config.http = "h11"
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            try:
                yield f"https://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        connection: Exporter | None = scope.get("extensions", {}).get(EXTENSION)
        self.asked.append(scope["path"].rsplit("/", 1)[-1])
        self.connections.add(id(connection))
        try:
            status, document = 200, self._answer(self.asked[-1], body, connection)
        except AccordError as exc:
            status, document = to_problem(exc)
        headers = [(b"connection", b"close")] if self.one_request else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": canonical_json(document)})

    def _answer(self, route: str, body: bytes, connection: Exporter | None) -> Any:
        document = parse_json(body, what="request")
        if route == "attest":
            fields = Fields(document, "request")
            return self._attest(
                fields.digest("board"),
                fields.data("nonce", size=32),
                fields.integer("level", minimum=1) if fields.has("level") else 1,
                connection,
            )
        if route == "challenges":
            nonce = os.urandom(32)
            self.challenges.add(nonce)
            return {"nonce": base64_encode(nonce), "expires": "2100-01-01T00:00:00Z"}
        return self._release(ReleaseRequest.from_json(document), connection)

    def _attest(self, board: Digest, nonce: bytes, level: int, connection: Exporter | None) -> Any:
        exporter = None
        if level == 2:
            exporter = binder(connection, Side.SERVER, nonce)
            if self.binder_of is not None and connection is not None:
                exporter = self.binder_of(connection, nonce)
        binding = service_binding(board, self.keyset, nonce, Purpose.CHANNEL, exporter=exporter)
        evidence = self.reflected or self.attester.collect(binding.report_data())
        self.sent.append(evidence)
        return {"keyset": self.keyset.to_json(), "evidence": evidence.to_json()}

    def _release(self, request: ReleaseRequest, connection: Exporter | None) -> Any:
        self.challenges.remove(request.nonce)
        exporter = None
        if request.channel is Channel.L2:
            exporter = binder(connection, Side.CLIENT, request.nonce)
        binding = shield_binding(
            request.board,
            request.policy,
            request.service,
            request.keyset,
            request.nonce,
            exporter=exporter,
        )
        verify(
            request.evidence,
            anchors=self.genesis.anchors,
            now=datetime.now(UTC),
            binding=binding,
        )
        return {"sealed": base64_encode(b"for " + request.channel.value.encode())}


@pytest.fixture
def genesis(hardware: Hardware, tmp_path: Path) -> Genesis:
    return make_genesis(tmp_path / "board", hardware)[0]


@pytest.fixture
def service(hardware: Hardware, genesis: Genesis) -> Service:
    return Service(hardware, genesis)


def shield_request(
    service: Service,
    session: TrustSession,
    nonce: bytes,
    exporter: bytes | None,
    *,
    channel: Channel = Channel.L2,
) -> ReleaseRequest:
    """A shield's request for ``nonce``, whose evidence carries ``exporter``."""
    keyset = fresh_keyset()
    binding = shield_binding(session.board, "job", "train", keyset, nonce, exporter=exporter)
    return ReleaseRequest(
        board=session.board,
        policy="job",
        service="train",
        keyset=keyset,
        nonce=nonce,
        evidence=service.hardware.attester(Role.SHIELD).collect(binding.report_data()),
        channel=channel,
    )


@pytest.mark.parametrize("level", LEVELS)
def test_both_levels_are_reached_and_said(service: Service, level: Channel) -> None:
    """Attest and release go through at both levels, and the session says which one it is."""
    with (
        service.running() as url,
        TrustSession.attest(url, service.genesis, channel=level) as session,
    ):
        nonce = session.challenge()
        exporter = session.binder(nonce)
        sealed, _ = session.release(
            shield_request(service, session, nonce, exporter, channel=level)
        )

    assert (session.channel, sealed) == (level, b"for " + level.value.encode())
    assert (level is Channel.L2) == (exporter is not None)
    assert service.asked == ["attest", "challenges", "releases"]
    assert len(service.connections) == 1


# --- somebody in between --------------------------------------------------------------------


class Relay(wire.Relay):
    """A relay whose own TLS bears a reader and a writer at once, as `ssl` does not."""

    def _relay(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(client)
            upstream = stack.enter_context(wire.dial(self.target))
            if self.intercept:
                client = stack.enter_context(self._context.wrap_socket(client, server_side=True))
                upstream = stack.enter_context(PinnedContext().wrap_socket(upstream))
            self._open += [client, upstream]
            back = threading.Thread(target=self._copy, args=(upstream, client, []))
            back.start()
            self._copy(client, upstream, self.heard)
            back.join()


@pytest.mark.parametrize("level", LEVELS)
def test_a_relay_that_ends_tls_itself_is_refused(service: Service, level: Channel) -> None:
    """Evidence of the genuine service behind somebody else's TLS key convinces at no level."""
    with (
        service.running() as url,
        Relay(url).running() as relay,
        pytest.raises(PinMismatchError),
    ):
        TrustSession.attest(relay.url, service.genesis, channel=level)

    assert service.asked == ["attest"]  # The genuine service answered; nothing followed.


def relay_with_stolen_key(url: str, service: Service) -> Relay:
    """Somebody in between who has the private TLS key of the genuine service."""
    relay = Relay(url)
    relay.tls = service.tls
    relay._context = service.tls.server_context()
    return relay


def test_a_relay_with_the_stolen_tls_key_is_refused_at_level_2(service: Service) -> None:
    """Who has the service's TLS key can pose as it at level 1, but has no part in the exporter."""
    with service.running() as url, relay_with_stolen_key(url, service).running() as relay:
        TrustSession.attest(relay.url, service.genesis, channel=Channel.L1)._connection.close()
        with pytest.raises(BindingMismatchError):
            TrustSession.attest(relay.url, service.genesis, channel=Channel.L2)


def test_a_relayed_shield_is_refused_by_the_service(service: Service) -> None:
    """A shield's evidence that somebody passes on from another connection releases nothing."""
    with (
        service.running() as url,
        TrustSession.attest(url, service.genesis, channel=Channel.L2) as shield,
        TrustSession.attest(url, service.genesis, channel=Channel.L2) as relay,
    ):
        nonce = relay.challenge()
        request = shield_request(service, shield, nonce, shield.binder(nonce))
        with pytest.raises(BindingMismatchError):
            relay.release(request)


def test_a_relay_that_only_passes_bytes_on_is_no_party(service: Service) -> None:
    """Somebody who carries the TLS connection and does not end it changes nothing."""
    with service.running() as url, Relay(url).running() as relay:
        relay.intercept = False
        with TrustSession.attest(relay.url, service.genesis, channel=Channel.L2) as session:
            nonce = session.challenge()
            session.release(shield_request(service, session, nonce, session.binder(nonce)))


# --- a service that proves the wrong thing --------------------------------------------------


OTHER_CONNECTION = bytes(range(32))


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda _own, _nonce: OTHER_CONNECTION, id="of another connection"),
        pytest.param(lambda own, nonce: binder(own, Side.CLIENT, nonce), id="other direction"),
        pytest.param(lambda own, _nonce: binder(own, Side.SERVER, NONCE), id="of an old nonce"),
        pytest.param(lambda _own, _nonce: None, id="none: level 1 in the place of 2"),
    ],
)
def test_a_service_with_a_wrong_binder_is_refused(service: Service, wrong: BinderOf) -> None:
    """The service's evidence proves this connection, its own direction and this very nonce."""
    service.binder_of = wrong
    with service.running() as url, pytest.raises(BindingMismatchError):
        TrustSession.attest(url, service.genesis, channel=Channel.L2)


def test_a_level_2_proof_does_not_serve_level_1(service: Service) -> None:
    """Each level's evidence is of its own form: none is taken for the other."""
    with service.running() as url:
        with TrustSession.attest(url, service.genesis, channel=Channel.L2):
            service.reflected = service.sent[-1]
        with pytest.raises(BindingMismatchError):
            TrustSession.attest(url, service.genesis, channel=Channel.L1)


@pytest.mark.parametrize("level", LEVELS)
def test_the_shields_own_evidence_sent_back_is_refused(service: Service, level: Channel) -> None:
    """A service that reflects what a shield proved to it has proved nothing."""
    with service.running() as url:
        with TrustSession.attest(url, service.genesis, channel=level) as session:
            nonce = session.challenge()
            exporter = session.binder(nonce)
            request = shield_request(service, session, nonce, exporter, channel=level)
        service.reflected = request.evidence
        with pytest.raises(BindingMismatchError):
            TrustSession.attest(url, service.genesis, channel=level)


@pytest.mark.parametrize("level", LEVELS)
def test_a_shield_in_the_place_of_the_service_is_refused(
    hardware: Hardware, genesis: Genesis, level: Channel
) -> None:
    """A shield that answers as a service, with a right binder, is another program."""
    impostor = Service(hardware, genesis, role=Role.SHIELD)
    with impostor.running() as url, pytest.raises(AppraisalError):
        TrustSession.attest(url, genesis, channel=level)


@pytest.mark.parametrize("exporters", [True, False])
def test_tls_that_ends_before_the_service_reaches_level_1_only(
    service: Service, *, exporters: bool
) -> None:
    """Where the service does not hold the TLS connection, level 2 is refused, not passed over."""
    with service.running(exporters=exporters) as url:
        with TrustSession.attest(url, service.genesis, channel=Channel.L1) as session:
            assert session.channel is Channel.L1
        if exporters:
            TrustSession.attest(url, service.genesis, channel=Channel.L2)._connection.close()
        else:
            with pytest.raises(ReplyError, match="HTTP status 422"):
                TrustSession.attest(url, service.genesis, channel=Channel.L2)


# --- a shield that proves the wrong thing ---------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    ["of another connection", "other direction", "of an old nonce", "none", "level understated"],
)
def test_a_shield_with_a_wrong_binder_is_refused(service: Service, wrong: str) -> None:
    """The shield's evidence proves this connection, its own direction and this very challenge."""
    with (
        service.running() as url,
        TrustSession.attest(url, service.genesis, channel=Channel.L2) as other,
        TrustSession.attest(url, service.genesis, channel=Channel.L2) as session,
    ):
        nonce, old = session.challenge(), session.challenge()
        exporter = {
            "of another connection": other.binder(nonce),
            "other direction": session._connection.binder(Side.SERVER, nonce),
            "of an old nonce": session.binder(old),
            "none": None,
            "level understated": session.binder(nonce),
        }[wrong]
        channel = Channel.L1 if wrong == "level understated" else Channel.L2
        with pytest.raises(BindingMismatchError):
            session.release(shield_request(service, session, nonce, exporter, channel=channel))


@pytest.mark.parametrize("level", LEVELS)
def test_the_services_own_evidence_sent_back_is_refused(service: Service, level: Channel) -> None:
    """A requester who shows the service its own evidence is released nothing."""
    with (
        service.running() as url,
        TrustSession.attest(url, service.genesis, channel=level) as session,
    ):
        nonce = session.challenge()
        request = ReleaseRequest(
            board=session.board,
            policy="job",
            service="train",
            keyset=service.keyset,
            nonce=nonce,
            evidence=service.sent[-1],
            channel=level,
        )
        with pytest.raises(BindingMismatchError):
            session.release(request)


# --- a connection that ends in mid session --------------------------------------------------


def test_a_new_connection_is_proved_before_it_is_used(service: Service) -> None:
    """At level 2 a dropped connection is replaced, and the new one attested, before a request."""
    with service.running() as url, Relay(url).running() as relay:
        relay.intercept = False
        with TrustSession.attest(relay.url, service.genesis, channel=Channel.L2) as session:
            session.challenge()
            relay.drop()
            nonce = session.challenge()
            session.release(shield_request(service, session, nonce, session.binder(nonce)))
            session._connection.close()
            assert session.binder(nonce) is not None

    assert service.asked == [
        "attest", "challenges", "attest", "challenges", "releases", "attest",
    ]  # fmt: skip


def test_at_level_1_the_pin_stands_for_the_new_connection(service: Service) -> None:
    """At level 1 the same TLS key is enough: nothing is attested again."""
    with service.running() as url, Relay(url).running() as relay:
        relay.intercept = False
        with TrustSession.attest(relay.url, service.genesis, channel=Channel.L1) as session:
            session.challenge()
            relay.drop()
            session.challenge()

    assert service.asked == ["attest", "challenges", "challenges"]


def test_a_relay_that_steps_in_later_is_refused(service: Service) -> None:
    """With the stolen key, and after attestation: the new connection proves nothing to it."""
    with service.running() as url, relay_with_stolen_key(url, service).running() as relay:
        relay.intercept = False
        with TrustSession.attest(relay.url, service.genesis, channel=Channel.L2) as session:
            relay.intercept = True
            relay.drop()
            for _ in range(2):  # And it does not help to ask again.
                with pytest.raises(BindingMismatchError):
                    session.challenge()

    assert service.asked == ["attest", "attest", "attest"]


def test_another_service_on_the_new_connection_is_refused(
    hardware: Hardware, service: Service
) -> None:
    """Genuine code with the stolen TLS key, but other keys, does not go on with a session."""
    other = Service(hardware, service.genesis, tls=service.tls)
    with (
        service.running() as url,
        other.running() as other_url,
        Relay(url).running() as relay,
    ):
        relay.intercept = False
        with TrustSession.attest(relay.url, service.genesis, channel=Channel.L2) as session:
            relay.target = other_url
            relay.drop()
            with pytest.raises(ServiceChangedError):
                session.challenge()

    assert other.asked == ["attest"]


def test_a_service_that_ends_each_connection_does_not_reach_level_2(service: Service) -> None:
    """What was proved of a connection that is gone is worth nothing for the next one."""
    service.one_request = True
    with service.running() as url:
        with pytest.raises(UnreachableError, match="keep a connection open"):
            TrustSession.attest(url, service.genesis, channel=Channel.L2)
        with TrustSession.attest(url, service.genesis, channel=Channel.L1) as session:
            session.challenge()


def test_refusals_on_an_unproved_connection_are_not_read(service: Service) -> None:
    """Until a new connection is proved, what it answers could be anybody's words."""

    def refuse(_own: Exporter, _nonce: bytes) -> bytes:
        raise UnreachableError(url="https://attacker.example", detail="send your key there")

    with service.running() as url, Relay(url).running() as relay:
        relay.intercept = False
        with TrustSession.attest(relay.url, service.genesis, channel=Channel.L2) as session:
            relay.drop()
            service.binder_of = refuse
            with pytest.raises(ReplyError, match="before it proved who it is"):
                session.challenge()
            service.binder_of = None
            session.challenge()

    assert service.asked == ["attest", "attest", "attest", "challenges"]

# SPDX-License-Identifier: Apache-2.0
"""Attacks on the HTTP interface over real sockets: smuggling, slowness, floods, and the log."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import ssl
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.live import Board, Hardware, found_board, make_service, running_app
from tests.support.wire import client_context, dial, problem_code, raw_exchange

from accord.channel import TLSIdentity
from accord.client import TrustSession, load_ring_entry
from accord.errors import TooManyRequestsError
from accord.evidence import Role
from accord.service import Limits, TrustService, create_app
from accord.service._http11 import DistrustfulProtocol
from accord.service._logging import start_logging, stop_logging


@pytest.fixture(scope="module")
def service(hardware: Hardware) -> tuple[TrustService, TLSIdentity]:
    tls = TLSIdentity.generate()
    return make_service(hardware.attester(Role.SERVICE), tls_spki_sha256=tls.spki_sha256), tls


@contextlib.contextmanager
def served(service: tuple[TrustService, TLSIdentity], **limits: float) -> Iterator[str]:
    """The service behind these limits."""
    wanted = Limits(**{"requests_per_s": 1000, **limits})  # type: ignore[arg-type]
    with running_app(create_app(service[0], limits=wanted), service[1]) as url:
        yield url


@pytest.fixture(scope="module")
def url(service: tuple[TrustService, TLSIdentity]) -> Iterator[str]:
    with served(service) as url:
        yield url


@contextlib.contextmanager
def connected(url: str) -> Iterator[ssl.SSLSocket]:
    with dial(url) as plain, client_context().wrap_socket(plain) as connection:
        connection.settimeout(10)
        yield connection


def statuses(received: bytes) -> list[int]:
    """The status codes of all answers; a body may end in the middle of a line."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received)]


def until_closed(connection: ssl.SSLSocket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while part := connection.recv(65536):
            received += part
    return received


# --- smuggling ------------------------------------------------------------------------------

HIDDEN = b"GET /v1/version HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /v1/attest HTTP/1.1\r\nHost: a\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(HIDDEN)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
NOTHING = b"\r\n0\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
SMUGGLING = {
    "length and chunked": POST + LENGTH + CHUNKED + NOTHING,
    "chunked and length": POST + CHUNKED + LENGTH + NOTHING,
    "two lengths": POST + b"Content-Length: 0\r\n" + LENGTH + b"\r\n",
    "a list of lengths": POST + b"Content-Length: 0, %d\r\n\r\n" % len(HIDDEN),
    "a signed length": POST + b"Content-Length: +0\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a length in hex": POST + b"Content-Length: 0x0\r\n\r\n",
    "a length of huge size": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "a folded encoding": POST + LENGTH + b"Transfer-Encoding:\r\n chunked\r\n" + NOTHING,
    "a folded length": POST + b"X: a\r\n Content-Length: 0\r\n" + LENGTH + CHUNKED + NOTHING,
    "chunked twice": POST + CHUNKED + CHUNKED + NOTHING,
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "an encoding with a tab": POST + b"Transfer-Encoding:\x0bchunked\r\n" + NOTHING,
    "a space before the colon": POST + b"Content-Length : 0\r\n\r\n",
    "a line feed in a value": POST + b"X: a\nContent-Length: 0\r\n" + LENGTH + CHUNKED + NOTHING,
    "a carriage return in a value": POST + b"X: a\rContent-Length: 0\r\n\r\n",
    "a null in a value": POST + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "a null in a name": POST + b"X\x00: a\r\nContent-Length: 0\r\n\r\n",
    "a chunk of negative size": POST + CHUNKED + b"\r\n-1\r\n\r\n",
    "a chunk of prefixed size": POST + CHUNKED + b"\r\n0x0\r\n\r\n",
    "a chunk of huge size": POST + CHUNKED + b"\r\n" + b"f" * 40 + b"\r\n",
    "a chunk that ends elsewhere": POST + CHUNKED + b"\r\n1\r\nab" + NOTHING,
    "a line feed in an extension": POST + CHUNKED + b"\r\n0;a\nb\r\n\r\n",
    "two hosts": GET + b"Host: b\r\nContent-Length: 0\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/1.0": b"GET /healthz HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an upgrade": GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + LENGTH + CHUNKED + NOTHING,
    "an absolute target": b"POST https://b/v1/attest HTTP/1.1\r\nHost: a\r\n" + LENGTH + CHUNKED,
}
"""Each is followed by `HIDDEN`."""


@pytest.mark.parametrize("name", SMUGGLING)
def test_a_hidden_request_is_never_answered(url: str, name: str) -> None:
    """What one reader takes for a body, and another for a request, is answered by neither."""
    received = raw_exchange(url, SMUGGLING[name] + HIDDEN)

    assert b"log_key" not in received
    assert len(statuses(received)) <= 1
    assert not statuses(received) or statuses(received)[0] in (400, 404, 422, 505)


def test_what_is_no_http_is_refused_in_the_catalogues_words(url: str) -> None:
    """Also what the server itself finds wrong is a problem document, and ends the connection."""
    received = raw_exchange(url, b"\x16\x03\x01 nonsense\r\n\r\n")
    head, _, body = received.partition(b"\r\n\r\n")

    assert problem_code(400, body) == "accord-SVC-061"
    assert b"connection: close" in head.lower()


def test_extensions_of_chunks_do_not_carry_a_body_beyond_its_limit(url: str) -> None:
    """They are skipped, each within the limit of a header; the body is counted without them."""
    chunk = b"1;" + b"x" * 10_000 + b"\r\na\r\n"
    long = b"1;" + b"x" * 40_000 + b"\r\na\r\n"
    start = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"

    assert statuses(raw_exchange(url, start + chunk * 10 + b"0\r\n\r\n")) == [422]
    assert statuses(raw_exchange(url, start + long + b"0\r\n\r\n")) == [400]


def test_pipelined_requests_are_answered_in_order(url: str) -> None:
    """Honest pipelining is no smuggling."""
    one = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    assert statuses(raw_exchange(url, one * 3 + last)) == [200, 200, 200, 404]


# --- slowness and floods --------------------------------------------------------------------


def test_a_header_that_does_not_end_is_not_waited_for(
    service: tuple[TrustService, TLSIdentity], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then does not keep a connection; neither does silence."""
    monkeypatch.setattr(DistrustfulProtocol, "header_s", 0.3)
    with served(service) as url:
        for dribble in (b"", b"X"):
            with connected(url) as connection:
                start = time.monotonic()
                with contextlib.suppress(OSError):
                    while time.monotonic() - start < 5:
                        connection.sendall(dribble)
                        connection.settimeout(0.05)
                        with contextlib.suppress(TimeoutError):
                            if not connection.recv(1):
                                break
                assert time.monotonic() - start < 4
        # A kept connection is given the same time for its next header.
        with connected(url) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert statuses(connection.recv(65536)) == [200]
            start = time.monotonic()
            connection.sendall(b"GET /hea")
            assert until_closed(connection).count(b"HTTP/") == 0
            assert time.monotonic() - start < 4


def test_a_body_that_does_not_come_ends_the_connection(
    service: tuple[TrustService, TLSIdentity],
) -> None:
    """After its time there is an answer that says so."""
    with served(service, body_s=0.2) as url, connected(url) as connection:
        connection.sendall(POST + b"Content-Length: 100\r\n\r\n{")

        assert statuses(until_closed(connection)) == [408]


def test_connections_are_limited(
    service: tuple[TrustService, TLSIdentity], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit they end at once; those that are there go on."""
    monkeypatch.setattr(DistrustfulProtocol, "max_connections", 2)
    with served(service) as url, connected(url) as first, connected(url):
        with contextlib.suppress(OSError), connected(url) as third:
            assert until_closed(third) == b""
        first.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert statuses(until_closed(first)) == [200]


def test_a_flood_is_answered_429_and_the_rest_goes_on(
    service: tuple[TrustService, TLSIdentity],
) -> None:
    """One address gets what its bucket holds, and then word of when to come back."""
    with served(service, requests_per_s=10) as url:
        one = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        last = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        found = statuses(raw_exchange(url, one * 30 + last))
        time.sleep(0.5)
        later = statuses(raw_exchange(url, last))

    assert set(found) == {200, 429}
    assert found.count(200) <= 15
    assert later == [200]


def test_a_client_is_told_in_our_words(
    service: tuple[TrustService, TLSIdentity], hardware: Hardware, tmp_path: Path
) -> None:
    """What the limit says reaches the user as the error that it is."""
    with served(service, requests_per_s=30) as url:
        board = found_board(tmp_path / "board", hardware, url)
        with (
            TrustSession.attest(url, board.genesis) as session,
            pytest.raises(TooManyRequestsError),
        ):
            deque((session.challenge() for _ in range(100)), maxlen=0)


# --- the log --------------------------------------------------------------------------------


def in_all_spellings(secret: bytes) -> list[str]:
    return [
        secret.hex(),
        base64.b64encode(secret).decode(),
        base64.urlsafe_b64encode(secret).decode(),
    ]


def test_no_secret_key_or_nonce_reaches_the_log(
    service: tuple[TrustService, TLSIdentity], hardware: Hardware, tmp_path: Path
) -> None:
    """A whole job, offers to releases, with every request logged."""
    log = tmp_path / "log"
    handler = start_logging(str(log), "info")
    try:
        with served(service) as url:
            board = found_board(tmp_path / "board", hardware, url)
            board.enact({"ann/data": board.offer("ann", "data", text="the patient is well\n")})
            with TrustSession.attest(url, board.genesis) as session:
                request = board.request(session)
                sealed, _ = session.release(request)
                with pytest.raises(Exception, match="environment"):
                    session.release(request)
            member = board.member("ann")
            with member.connect() as session:
                member.read(session)
    finally:
        stop_logging(handler)
    text = log.read_text()
    entry = load_ring_entry(board.home("ann"), "data")
    people = [board.member(name).identity for name in board.names]
    keys = [person.seal_private_key.private_bytes_raw() for person in people]
    keys += [person.public.verify_key.raw for person in people]

    assert '"route":"/v1/boards/{board}/releases","method":"POST","status":200' in text
    assert all(json.loads(line)["message"] for line in text.splitlines())
    for secret in (entry.key.raw, request.nonce, sealed, request.keyset.verify_key.raw, *keys):
        for spelling in in_all_spellings(secret):
            assert spelling not in text
    for word in ("patient", "ann", "data", "Authorization", "start=", board.genesis.digest):
        assert word not in text


# --- many at once ---------------------------------------------------------------------------


def test_the_same_idempotency_key_from_many_records_once(url: str, board_at: Board) -> None:
    """Twenty who send one statement under one key get one index between them."""
    before = size(board_at)
    envelope = board_at.envelope
    body = json.dumps(envelope.to_json()).encode()
    request = (
        b"POST /v1/boards HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        b"Idempotency-Key: the-same\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) + body
    with ThreadPoolExecutor(20) as pool:
        found = [
            status
            for item in pool.map(raw_exchange, [url] * 20, [request] * 20)
            for status in statuses(item)
        ]

    assert set(found) <= {201, 409}
    assert 201 in found
    assert size(board_at) == before


@pytest.fixture
def board_at(url: str, hardware: Hardware, tmp_path: Path) -> Board:
    return found_board(tmp_path / "board", hardware, url)


def size(board: Board) -> int:
    member = board.member("ann")
    with member.connect() as session:
        return member.read(session)[0].size


# --- pages of a log, and a service that lies about them --------------------------------------


def test_a_log_of_many_pages_is_read_whole(
    url: str, board_at: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client asks until it has what the checkpoint covers."""
    monkeypatch.setattr("accord.service._handlers_views.PAGE_BYTES", 1)
    board_at.offer("ann", "data")

    assert size(board_at) == 3

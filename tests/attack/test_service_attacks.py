# SPDX-License-Identifier: Apache-2.0
"""Attacks on the trust service over real HTTP and TLS, and on those who talk to it."""

from __future__ import annotations

import json
import shutil
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.live import (
    Board,
    Hardware,
    ServiceProcess,
    copy_state,
    found_board,
    make_genesis,
    service_in_thread,
    terms,
)
from tests.support.wire import (
    POST_ROUTES,
    ROUTES,
    Relay,
    client_context,
    dial,
    problem_code,
    raw_exchange,
    signed_read,
    statuses,
    tls_key,
)

from accord.board import AssetKind, AssetOffer
from accord.channel import TLSIdentity
from accord.client import MemberHome, TrustSession, load_ring_entry
from accord.encoding import base64_encode, canonical_json, sha256
from accord.errors import (
    AccordError,
    AnchorUnknownError,
    AppraisalError,
    AssetKeyError,
    ExitCode,
    GenesisError,
    NotAttestedError,
    PinMismatchError,
    ReplyError,
    SealedMessageError,
    SignatureInvalidError,
    UnreachableError,
    UsesExhaustedError,
)
from accord.evidence import Role
from accord.identity import FileIdentity, seal, sign_statement
from accord.release import ASSET_KEY_PURPOSE, asset_key_context
from accord.volumes import VolumeKey, key_commitment

pytestmark = pytest.mark.e2e

READS = ("{board}/log", "{board}/objects/" + 64 * "a")
OWN_ROUTES = [(m, p) for m, p in ROUTES if p != "/healthz"]


def exchange(
    url: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """One request and its answer, over TLS, by somebody who trusts nothing."""
    lines = [f"{method} {path} HTTP/1.1", "Host: service", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += [f"Content-Length: {len(body)}"]
    received = raw_exchange(url, "\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    head, _, content = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), content


# --- who may read ---------------------------------------------------------------------------


@pytest.mark.parametrize("route", READS)
def test_a_stranger_reads_nothing(board: Board, route: str) -> None:
    """Without a member's signature every read is refused, and the refusal names nobody."""
    status, body = exchange(board.url, "GET", route.format(board=board.path))

    assert (status, problem_code(status, body)) == (401, "accord-CHN-003")
    assert not any(name.encode() in body for name in board.names)


def test_every_route_walked_by_a_stranger_tells_no_secret(board: Board) -> None:
    """A stranger who tries every route with an empty object gets refusals and public facts."""
    board.offer("ann", "data", text="the patient is well\n")
    key = load_ring_entry(board.home("ann"), "data").key.raw
    answers = []
    for method, route in ROUTES:
        path = route.format(board=board.path)
        answers.append(exchange(board.url, method, path, b"{}" if method == "POST" else b""))

    refused = [status for status, _ in answers]
    assert refused == [200, 200, 401, 401, 422, 422, 422, 200, 422, 422]
    whole = b"".join(body for _, body in answers)
    for secret in (key, base64_encode(key).encode(), key.hex().encode(), b"patient"):
        assert secret not in whole


def test_a_member_of_another_board_reads_nothing(board: Board, tmp_path: Path) -> None:
    """A signature by somebody who is no member of this very board is refused."""
    stranger = FileIdentity.create(tmp_path / "eve", "eve")
    path = f"{board.path}/log"
    headers = signed_read(stranger, board.genesis.digest, path, tls_key(board.url))

    status, body = exchange(board.url, "GET", path, headers=headers)

    assert (status, problem_code(status, body)) == (401, "accord-CHN-003")


@pytest.mark.parametrize("flaw", ["path", "board", "tls", "old", "future", "scheme", "huge"])
def test_a_signed_read_serves_for_nothing_else(board: Board, flaw: str) -> None:
    """A read signed for another path, board, TLS key or time is refused."""
    identity, path = board.member("ann").identity, f"{board.path}/log"
    digest, tls, time = board.genesis.digest, tls_key(board.url), datetime.now(UTC)
    good = signed_read(identity, digest, path, tls, time=time)
    assert exchange(board.url, "GET", path, headers=good)[0] == 200

    headers = {
        "path": signed_read(identity, digest, f"{board.path}/objects/{64 * 'a'}", tls),
        "board": signed_read(identity, sha256(b"another"), path, tls),
        "tls": signed_read(identity, digest, path, bytes(32)),
        "old": signed_read(identity, digest, path, tls, time=time - timedelta(minutes=6)),
        "future": signed_read(identity, digest, path, tls, time=time + timedelta(minutes=6)),
        "scheme": {"Authorization": good["Authorization"].replace("Accord ", "Bearer ")},
        "huge": {"Authorization": "Accord " + "A" * 5000},
    }[flaw]
    status, body = exchange(board.url, "GET", path, headers=headers)

    assert (status, problem_code(status, body)) == (401, "accord-CHN-003")


def test_the_host_header_does_not_move_a_signed_read(board: Board) -> None:
    """What the signature covers is the path asked for, not what a Host header pretends."""
    path, other = f"{board.path}/log", f"{board.path}/objects/{64 * 'a'}"
    headers = signed_read(
        board.member("ann").identity, board.genesis.digest, path, tls_key(board.url)
    )
    for host in (f"x{path}?y=", f"x{path}#", "[", "a b"):
        request = f"GET {other} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        request += f"Authorization: {headers['Authorization']}\r\n\r\n"
        received = raw_exchange(board.url, request.encode())

        assert statuses(received) in ([401], [400])


# --- requests that are not what they should be ----------------------------------------------

GARBAGE = {
    "empty": b"",
    "not JSON": b"\x00\xff\xfe",
    "a list": b"[]",
    "a number": b"1",
    "duplicate keys": b'{"board":"a","board":"b"}',
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a float": b'{"board":1.5}',
    "huge integer": b'{"board":' + b"9" * 5000 + b"}",
    "unknown field": b'{"anything":null}',
    "a lone surrogate": b'{"\\ud800":"\\udfff"}',
    "escapes": b'{"\\u001b[2J":1}',
    "not UTF-8": b'{"\xc3\x28":1}',
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_on_every_route_is_refused_in_the_catalogues_words(board: Board, name: str) -> None:
    """No body whatever makes a route fail: each answer is a problem of the catalogue."""
    for method, route in OWN_ROUTES:
        if method == "GET" or (route.endswith("challenges") and name == "unknown field"):
            continue
        path = route.format(board=board.path)
        status, body = exchange(board.url, "POST", path, GARBAGE[name])
        if status == 200 and route.endswith("challenges"):
            continue  # A challenge needs no body, and reads none.

        assert (path, True) == (path, status in (413, 422))
        assert problem_code(status, body).startswith("accord-ENC-")


def test_an_error_that_repeats_the_callers_words_can_always_be_sent(board: Board) -> None:
    """Half of a surrogate pair in an unknown field's name does not break the answer."""
    nonce = base64_encode(bytes(32))
    body = f'{{"board":"{board.genesis.digest}","nonce":"{nonce}","\\ud800":1}}'.encode()

    status, answer = exchange(board.url, "POST", "/v1/attest", body)

    assert (status, problem_code(status, answer)) == (422, "accord-ENC-001")


@pytest.mark.parametrize("route", [path for path in POST_ROUTES if "challenges" not in path])
def test_an_oversized_body_is_refused(board: Board, route: str) -> None:
    """More than a route has use for, at most 4 MiB, is not read, whatever it is."""
    body = b'{"a":"' + b"a" * (5 << 20) + b'"}'
    status, answer = exchange(board.url, "POST", route.format(board=board.path), body)

    assert (status, problem_code(status, answer)) == (413, "accord-ENC-003")


@pytest.mark.parametrize(
    "target",
    [
        ("GET", "/"),
        ("GET", "/v1/boards"),
        ("PUT", "/v1/boards"),
        ("DELETE", "{board}/log"),
        ("GET", "{board}/statements"),
        ("GET", "/v1/../etc/passwd"),
        ("GET", "{board}/log/"),
        ("POST", "/v1/boards/%2e%2e/runs"),
        ("GET", "/v1/boards/" + 64 * "g" + "/log"),
        ("GET", "/v1/boards/" + 64 * "0" + "/log"),
        ("GET", "/v1/boards/" + "0" * 30_000),
        ("GET", "/%00%1b[2J"),
        ("GET", "/nothing?%ff=\xff"),
    ],
    ids=lambda item: f"{item[0]} {item[1][:30]}",
)
def test_an_unknown_route_method_or_board_is_refused(board: Board, target: tuple[str, str]) -> None:
    """Whatever is not there is answered with a code, and never with a failure."""
    method, route = target
    status, body = exchange(board.url, method, route.format(board=board.path))

    assert status in (400, 401, 404, 405)
    assert problem_code(status, body) in (
        "accord-CHN-003", "accord-SVC-012", "accord-SVC-050", "accord-SVC-061",
    )  # fmt: skip


SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
SMUGGLING = {
    "length and chunked": (
        b"POST /v1/attest HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED
    ),
    "two lengths": (
        b"POST /v1/attest HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"
        b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED
    ),
    "odd encoding": (
        b"POST /v1/attest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n" + SMUGGLED
    ),
    "space before colon": (
        b"POST /v1/attest HTTP/1.1\r\nHost: a\r\nContent-Length : 0\r\n\r\n" + SMUGGLED
    ),
    "bare line feed": b"POST /v1/attest HTTP/1.1\nHost: a\nContent-Length: x\n\n" + SMUGGLED,
    "huge head": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_a_request_with_two_readings_reaches_nobody(
    shared_service: ServiceProcess, name: str
) -> None:
    """A request whose end is disputable is answered 400, and nothing after it is read."""
    received = raw_exchange(shared_service.url, SMUGGLING[name])

    assert statuses(received) in ([400], [422], [])
    assert b"open" not in received
    assert exchange(shared_service.url, "GET", "/healthz") == (200, b'{"status":"open"}')


def test_tls_older_than_1_3_is_refused(shared_service: ServiceProcess) -> None:
    """There is no handshake with TLS 1.2."""
    context = client_context(maximum=ssl.TLSVersion.TLSv1_2)
    with dial(shared_service.url) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain)


def test_plain_http_is_not_spoken(shared_service: ServiceProcess) -> None:
    """The port answers nothing that could be read without TLS."""
    with dial(shared_service.url) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"open" not in plain.recv(4096)


def test_the_same_statement_again_changes_nothing(board: Board) -> None:
    """Sending a statement again, after a lost answer for instance, is no error and no effect."""
    tag = board.offer("ann", "data")
    proposal = board.propose("bob", board.policy({"ann/data": tag}))
    board.vote(proposal, "ann")
    member = board.member("ann")
    with member.connect() as session:
        ledger, _, _ = member.read(session)
        for index in range(2, 5):
            envelope = ledger.entry(index).envelope
            again = seal(
                load_ring_entry(board.home("ann"), "data").key.raw,
                session.keyset.seal_key,
                purpose=ASSET_KEY_PURPOSE,
                context=asset_key_context(envelope.statement_digest),
            )
            assert index == session.submit(envelope, sealed_key=again)
        session.found(board.envelope)
        after, _, _ = member.read(session)

    assert ledger.size == after.size


# --- somebody in between, and somebody else -------------------------------------------------


@pytest.fixture
def relay(shared_service: ServiceProcess) -> Iterator[Relay]:
    with Relay(shared_service.url).running() as relay:
        yield relay


def test_a_man_in_the_middle_relaying_evidence_is_noticed(board: Board, relay: Relay) -> None:
    """Genuine evidence over somebody else's TLS key is refused before anything else is said."""
    with pytest.raises(PinMismatchError):
        TrustSession.attest(relay.url, board.genesis)

    requests = [line for line in b"".join(relay.heard).split(b"\r\n") if b" HTTP/1.1" in line]
    assert requests == [b"POST /v1/attest HTTP/1.1"]


def test_a_key_that_changes_in_mid_session_is_refused(board: Board, relay: Relay) -> None:
    """After attestation a connection to another TLS key is refused in its handshake."""
    relay.intercept = False
    with TrustSession.attest(relay.url, board.genesis) as session:
        relay.intercept = True
        relay.drop()
        relay.heard.clear()
        with pytest.raises(UnreachableError) as refused:
            session.read_log(board.member("ann").identity.signer)

    assert "TLS key has changed" in str(refused.value)
    assert not any(b"Authorization" in part for part in relay.heard)


def test_other_code_is_refused_by_its_measurement(board: Board, hardware: Hardware) -> None:
    """A trust service that measures differently is not the one the founders named."""
    attester = hardware.attester(Role.SERVICE, mrtd=bytes(48))
    with service_in_thread(attester) as url, pytest.raises(AppraisalError):
        TrustSession.attest(url, board.genesis)


def test_a_shield_cannot_pose_as_the_trust_service(board: Board, hardware: Hardware) -> None:
    """The right code in another role is refused."""
    with (
        service_in_thread(hardware.attester(Role.SHIELD)) as url,
        pytest.raises(AppraisalError),
    ):
        TrustSession.attest(url, board.genesis)


def test_hardware_of_another_vendor_is_refused(board: Board, tmp_path: Path) -> None:
    """Evidence under a root that the founders did not pin is refused."""
    attester = Hardware.create(tmp_path / "other").attester(Role.SERVICE)
    with service_in_thread(attester) as url, pytest.raises(AnchorUnknownError):
        TrustSession.attest(url, board.genesis)


def test_evidence_that_names_another_services_tls_key_is_refused(
    board: Board, hardware: Hardware
) -> None:
    """A service whose own evidence claims a TLS key that it does not use is refused."""
    attester = hardware.attester(Role.SERVICE)
    with (
        service_in_thread(attester, claimed=TLSIdentity.generate()) as url,
        pytest.raises(PinMismatchError),
    ):
        TrustSession.attest(url, board.genesis)


def test_a_board_that_the_service_does_not_host_is_not_invented(
    shared_service: ServiceProcess, hardware: Hardware, tmp_path: Path
) -> None:
    """Asking for an unknown board is refused; nobody is shown another one."""
    genesis, _ = make_genesis(tmp_path, hardware)
    with pytest.raises(ReplyError, match="HTTP status 404"):
        TrustSession.open(shared_service.url, genesis.digest)


def test_a_genesis_that_lacks_a_signature_founds_nothing(
    shared_service: ServiceProcess, hardware: Hardware, tmp_path: Path
) -> None:
    """A board comes into being by the signatures of all its founders, or not at all."""
    genesis, _ = make_genesis(tmp_path, hardware)
    alone = sign_statement(
        "genesis", genesis.to_json(), [FileIdentity.load(tmp_path / "ann").signer]
    )
    session = TrustSession.attest(shared_service.url, genesis)
    with session, pytest.raises(GenesisError):
        session.found(alone)

    with pytest.raises(ReplyError, match="HTTP status 404"):
        TrustSession.open(shared_service.url, genesis.digest)


# --- keys and uses --------------------------------------------------------------------------


def offer_of(board: Board) -> tuple[MemberHome, AssetOffer]:
    """An offer of ann's, signed by nobody yet."""
    board.offer("ann", "first")
    member = board.member("ann")
    entry = load_ring_entry(member.identity.home, "first")
    assert entry.tag is not None
    commitment = key_commitment(entry.key, volume_id=entry.volume_id)
    offer = AssetOffer(
        board=board.genesis.digest,
        name="ann/second",
        kind=AssetKind.VOLUME,
        volume_id=entry.volume_id,
        tag=entry.tag,
        key_commitment=commitment,
        terms=terms(),
        predecessor=None,
    )
    return member, offer


@pytest.mark.parametrize(
    ("flaw", "error"),
    [
        ("another key", AssetKeyError),
        ("no key", AssetKeyError),
        ("key of another offer", SealedMessageError),
        ("sealed to somebody else", SealedMessageError),
        ("garbage", SealedMessageError),
    ],
)
def test_a_key_that_does_not_fit_the_offer_is_refused(
    board: Board, flaw: str, error: type[AccordError]
) -> None:
    """An offer comes with the very key that it commits to, sealed for it, or not at all."""
    member, offer = offer_of(board)
    envelope = sign_statement("asset", offer.to_json(), [member.identity.signer])
    key = load_ring_entry(member.identity.home, "first").key.raw
    context = asset_key_context(envelope.statement_digest)
    with member.connect() as session:
        to = session.keyset.seal_key

        def sealed(raw: bytes, place: bytes = context, recipient: object = to) -> bytes:
            assert isinstance(recipient, type(to))
            return seal(raw, recipient, purpose=ASSET_KEY_PURPOSE, context=place)

        deposit = {
            "another key": sealed(VolumeKey.generate().raw),
            "no key": None,
            "key of another offer": sealed(key, asset_key_context(sha256(b"another offer"))),
            "sealed to somebody else": sealed(key, context, member.identity.public.seal_key),
            "garbage": b"garbage",
        }[flaw]
        before, _, _ = member.read(session)
        with pytest.raises(error):
            session.submit(envelope, sealed_key=deposit)
        after, machine, _ = member.read(session)

    assert (before.size, False) == (after.size, "ann/second" in machine.board.assets)


def test_bob_cannot_offer_what_is_ann_s(board: Board) -> None:
    """An offer that is signed by somebody else than its owner is refused."""
    _, offer = offer_of(board)
    bob = board.member("bob")
    envelope = sign_statement("asset", offer.to_json(), [bob.identity.signer])
    key = load_ring_entry(board.home("ann"), "first").key.raw
    with bob.connect() as session:
        sealed = seal(
            key,
            session.keyset.seal_key,
            purpose=ASSET_KEY_PURPOSE,
            context=asset_key_context(envelope.statement_digest),
        )
        with pytest.raises(AccordError) as refused:
            session.submit(envelope, sealed_key=sealed)

    assert refused.value.code.startswith("accord-BRD-")


def test_of_fifty_at_once_exactly_as_many_as_allowed_succeed(board: Board) -> None:
    """Uses are counted before anything leaves, also when many ask at the same moment."""
    allowed, asking = 7, 50
    tag = board.offer("ann", "data", max_uses=allowed)
    board.enact({"ann/data": tag})

    def ask(_number: int) -> str:
        with TrustSession.attest(board.url, board.genesis) as session:
            try:
                session.release(board.request(session))
            except UsesExhaustedError:
                return "refused"
            return "released"

    with ThreadPoolExecutor(max_workers=asking) as pool:
        outcomes = list(pool.map(ask, range(asking)))

    assert (allowed, asking - allowed) == (outcomes.count("released"), outcomes.count("refused"))
    member = board.member("ann")
    with member.connect() as session:
        _, machine, _ = member.read(session)
    assert allowed == len(machine.runs)


def test_a_nonce_serves_once(board: Board) -> None:
    """The same request sent again, or another one with its nonce, releases nothing."""
    board.enact({"ann/data": board.offer("ann", "data")})
    with TrustSession.attest(board.url, board.genesis) as session:
        request = board.request(session)
        session.release(request)
        with pytest.raises(NotAttestedError):
            session.release(request)
        with pytest.raises(NotAttestedError):
            session.release(board.request(session, nonce=request.nonce))
        with pytest.raises(NotAttestedError):
            session.release(board.request(session, nonce=bytes(32)))


def test_a_request_with_somebody_elses_evidence_is_refused(board: Board) -> None:
    """Evidence of an honest shield, sent with other keys, is refused."""
    board.enact({"ann/data": board.offer("ann", "data")})
    with TrustSession.attest(board.url, board.genesis) as session:
        honest, mine = board.request(session), board.request(session)
        with pytest.raises(NotAttestedError):
            session.release(replace(mine, evidence=honest.evidence))


# --- a service that was set back ------------------------------------------------------------


def test_a_service_set_back_is_noticed_by_who_saw_more(
    service: ServiceProcess, hardware: Hardware, tmp_path: Path
) -> None:
    """An older copy of the whole state is refused by the member who had seen further."""
    board = found_board(tmp_path / "board", hardware, service.start().url)
    service.stop()
    copy_state(service, tmp_path / "older")
    board.url = service.start().url
    board.offer("ann", "data")
    service.stop()
    shutil.rmtree(service.state)
    shutil.copytree(tmp_path / "older", service.state)
    board.url = service.start().url
    member = board.member("ann")
    with member.connect() as session, pytest.raises(AccordError) as refused:
        member.read(session)

    assert refused.value.code.startswith("accord-LED-")
    assert refused.value.exit_code == ExitCode.INTEGRITY


def test_a_service_that_forgot_everything_is_another_service(
    service: ServiceProcess, hardware: Hardware, tmp_path: Path
) -> None:
    """A service whose state was deleted cannot continue a board: its log key is another one."""
    board = found_board(tmp_path / "board", hardware, service.start().url)
    member = board.member("ann")
    with member.connect() as session:
        member.read(session)
    service.stop()
    shutil.rmtree(service.state)
    board.url = service.start().url
    with TrustSession.attest(board.url, board.genesis) as session:
        session.found(board.envelope)
    member = board.member("ann")
    with member.connect() as session, pytest.raises(SignatureInvalidError):
        member.read(session)


def test_no_answer_of_a_service_shows_its_inside(board: Board) -> None:
    """Problems carry code, title, hint and details; no paths, no types, no stack."""
    status, body = exchange(board.url, "POST", f"{board.path}/releases", b'{"schema":"x"}')

    document = json.loads(body)
    assert (status, document["code"]) == (422, "accord-ENC-004")
    assert "/" not in document["title"].replace("application/", "")
    assert canonical_json(document["details"]) == canonical_json(
        {"what": "release request", "found": "'x'", "expected": "accord.release-request.v1"}
    )

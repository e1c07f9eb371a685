# SPDX-License-Identifier: Apache-2.0
"""What a member's own side refuses: other boards, older logs, answers that are none."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.live import Board, Hardware, found_board, make_genesis, terms

from accord.channel import TLSIdentity
from accord.client import (
    MemberHome,
    TrustSession,
    _connection,
    find_proposal,
    load_ring_entry,
    offer_asset,
    seal_asset,
    withdraw_asset,
)
from accord.client._connection import Connection
from accord.encoding import base64_encode, canonical_json, sha256
from accord.errors import (
    EncodingError,
    GenesisError,
    IdentityExposedError,
    LedgerError,
    MalformedError,
    NoBoardError,
    NoSuchRouteError,
    ReplyError,
    SignatureInvalidError,
    TooLargeError,
    UnknownAssetError,
    UnknownProposalError,
    UnreachableError,
    VolumeSourceError,
)
from accord.evidence import Purpose
from accord.identity import FileIdentity
from accord.release import Machine

pytestmark = pytest.mark.e2e


# --- homes ----------------------------------------------------------------------------------


def test_a_home_belongs_to_one_board(board: Board, hardware: Hardware, tmp_path: Path) -> None:
    """Joining the same board again is no error, joining another one is."""
    MemberHome.join(board.home("ann"), board.genesis, "https://elsewhere")
    assert MemberHome.load(board.home("ann")).service == "https://elsewhere"
    other, _ = make_genesis(tmp_path / "other", hardware)
    with pytest.raises(NoBoardError):
        MemberHome.join(board.home("ann"), other, board.url)
    assert MemberHome.load(board.home("ann")).genesis.digest == board.genesis.digest


def test_a_home_without_a_board_says_so(tmp_path: Path) -> None:
    """An identity alone is not enough to talk to a board."""
    FileIdentity.create(tmp_path, "ann")
    with pytest.raises(NoBoardError):
        MemberHome.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"schema":"accord.board-context.v2"}'])
def test_a_damaged_home_is_refused(board: Board, content: bytes) -> None:
    """A board context that is none is a refusal."""
    (board.home("ann") / "board.json").write_bytes(content)
    with pytest.raises(EncodingError):
        board.member("ann")


def test_a_log_that_got_shorter_is_refused(board: Board) -> None:
    """A member who saw more entries than there are now refuses to go on."""
    board.offer("ann", "data")
    ann, bob = board.member("ann"), board.member("bob")
    with ann.connect() as session:
        ledger, machine, note = ann.read(session)
        withdraw_asset(ann, session, machine, "data")
        ann.read(session)
        seen = (board.home("ann") / "board.checkpoint").read_bytes()

        class Earlier(TrustSession):
            def read_log(self, signer: Any) -> Any:  # noqa: ARG002 - it always says the same
                return ledger, machine, note

        earlier = Earlier(session._connection, board.genesis, session.keyset, session.result)
        with pytest.raises(LedgerError):
            ann.read(earlier)
        bob.read(earlier)

    assert (board.home("ann") / "board.checkpoint").read_bytes() == seen


def test_commands_of_one_home_do_not_get_in_each_others_way(board: Board) -> None:
    """Many readers at once, while the log grows: none fails, and the latest checkpoint stays."""

    def read(number: int) -> int:
        if number % 4 == 0:
            board.offer("bob", f"data-{number}")
        member = board.member("ann")
        with member.connect() as session:
            return member.read(session)[0].size

    with ThreadPoolExecutor(max_workers=8) as pool:
        sizes = list(pool.map(read, range(24)))

    saved = (board.home("ann") / "board.checkpoint").read_text().splitlines()[1]
    assert int(saved) == max(sizes)


def test_a_checkpoint_by_another_key_is_refused(board: Board) -> None:
    """A saved checkpoint that this service never signed is not passed over."""
    member = board.member("ann")
    with member.connect() as session:
        member.read(session)
        path = board.home("ann") / "board.checkpoint"
        text, _, _ = path.read_text().partition("\n\n")
        path.write_text(f"{text}\n\n— {text.partition(chr(10))[0]} {base64_encode(bytes(68))}\n")
        with pytest.raises((SignatureInvalidError, LedgerError, MalformedError)):
            member.read(session)


# --- assets ---------------------------------------------------------------------------------


def test_a_key_ring_is_private(board: Board) -> None:
    """A volume key that others can read is not used."""
    board.offer("ann", "data")
    (board.home("ann") / "volumes" / "data.secret.json").chmod(0o640)
    with pytest.raises(IdentityExposedError):
        load_ring_entry(board.home("ann"), "data")


def test_what_was_never_sealed_cannot_be_offered(board: Board, tmp_path: Path) -> None:
    """A ring entry without a version, as a kill while sealing leaves it, offers nothing."""
    with pytest.raises(VolumeSourceError):
        seal_asset(board.home("ann"), "data", tmp_path / "missing", board.storage)
    member = board.member("ann")
    with member.connect() as session:
        _, machine, _ = member.read(session)
        with pytest.raises(UnknownAssetError):
            offer_asset(member, session, machine, "data", terms(), volume="data")
        with pytest.raises(UnknownAssetError):
            withdraw_asset(member, session, machine, "data")


def test_the_same_offer_again_is_the_same_entry(board: Board) -> None:
    """Offering and withdrawing twice change nothing the second time."""
    board.offer("ann", "data")
    member = board.member("ann")
    with member.connect() as session:
        _, machine, _ = member.read(session)
        first = offer_asset(member, session, machine, "data", terms(), volume="data")
        again = offer_asset(member, session, machine, "data", terms(), volume="data")
        index = withdraw_asset(member, session, machine, "data")
        _, machine, _ = member.read(session)
        assert withdraw_asset(member, session, machine, "data") == index

    assert first == again


def test_names_of_assets_cannot_leave_the_key_ring(tmp_path: Path) -> None:
    """A name is a name, not a path."""
    for name in ("../x", "a/b", "", ".", "A"):
        with pytest.raises(MalformedError):
            load_ring_entry(tmp_path, name)


def test_a_proposal_is_found_by_an_unambiguous_beginning(board: Board) -> None:
    """Too short a beginning, or an unknown one, names nothing."""
    tag = board.offer("ann", "data")
    first = board.propose("bob", board.policy({"ann/data": tag}))
    assert board.propose("bob", board.policy({"ann/data": tag})) == first
    board.propose("bob", board.policy({"ann/data": tag}, command=("false",)))
    member = board.member("ann")
    with member.connect() as session:
        _, machine, _ = member.read(session)

    assert find_proposal(machine, first).id == first
    assert find_proposal(machine, first.removeprefix("sha256:")[:16]).id == first
    for prefix in ("", "sha256:", "zz"):
        with pytest.raises(UnknownProposalError):
            find_proposal(machine, prefix)


# --- answers that are none ------------------------------------------------------------------


def _read_request(connection: socket.socket) -> None:
    """All of it: closing with unread bytes would reset the connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """A TLS server that gives these answers, one a connection, to whatever it is asked."""
    context = TLSIdentity.generate().server_context()

    def serve() -> None:
        for answer in answers:
            try:
                plain, _ = listener.accept()
                with plain, context.wrap_socket(plain, server_side=True) as connection:
                    _read_request(connection)
                    connection.sendall(answer)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        with socket.socket() as last:
            last.settimeout(1)
            last.connect_ex(listener.getsockname())
        thread.join(timeout=5)


def http(body: bytes, *, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", UnreachableError),
        (b"garbage\r\n\r\n", UnreachableError),
        (http(b"{}", length=100), UnreachableError),
        (http(b"not json"), ReplyError),
        (http(b"not json", status="500 Oh"), ReplyError),
        (http(b"{}", status="404 No"), ReplyError),
        (http(b"[]"), MalformedError),
        (http(b"{}"), MalformedError),
    ],
)
def test_an_answer_that_is_none_is_refused(
    board: Board, answer: bytes, error: type[Exception]
) -> None:
    """Whatever answers, the client's refusal is one of the catalogue."""
    with answering(answer) as url, pytest.raises(error):
        TrustSession.attest(url, board.genesis)


def test_an_endless_answer_is_cut_off(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than the limit is read of any answer."""
    monkeypatch.setattr(_connection, "MAX_REPLY_BYTES", 1000)
    with answering(http(b"x" * 5000)) as url, pytest.raises(TooLargeError):
        TrustSession.attest(url, board.genesis)


def test_another_genesis_than_the_one_asked_for_is_refused(board: Board) -> None:
    """A service that answers with another board's genesis is not believed."""
    asked = {"board": board.genesis.digest, "nonce": base64_encode(bytes(32)), "genesis": True}
    connection = Connection(board.url)
    proof = connection.send("POST", "/v1/attest", asked).content
    connection.close()
    with answering(http(proof)) as url, pytest.raises(GenesisError, match="not sha256:"):
        TrustSession.open(url, sha256(b"the board that was meant"))


class Lying(TrustSession):
    """A session whose service answers reads with something else."""

    answer: bytes = b""

    def _read(self, path: str, signer: Any, query: str = "") -> bytes:  # noqa: ARG002 - one answer
        return self.answer


@pytest.fixture
def lying(board: Board) -> Iterator[Lying]:
    with TrustSession.attest(board.url, board.genesis) as session:
        yield Lying(session._connection, board.genesis, session.keyset, session.result)


def honest_log(board: Board) -> dict[str, Any]:
    member = board.member("ann")
    with member.connect() as session:
        data = session._read(f"{board.path}/log", member.identity.signer)
    return dict(json.loads(data))


def test_a_log_that_is_none_is_refused(board: Board, lying: Lying) -> None:
    """No list, no entries, an entry too few: each is refused."""
    honest, signer = honest_log(board), board.member("ann").identity.signer
    for entries in ("x", [], [1], honest["entries"][:1], honest["entries"][::-1]):
        lying.answer = canonical_json({**honest, "entries": entries})
        with pytest.raises((ReplyError, LedgerError, MalformedError, GenesisError)):
            lying.read_log(signer)


def test_the_log_of_another_board_is_refused(
    board: Board, lying: Lying, hardware: Hardware, tmp_path: Path
) -> None:
    """A genuine log of another board at the same service is not taken for this one."""
    other = found_board(tmp_path / "other", hardware, board.url)
    lying.answer = canonical_json(honest_log(other))
    with pytest.raises(SignatureInvalidError):
        lying.read_log(board.member("ann").identity.signer)


def test_an_object_must_be_what_its_digest_says(board: Board, lying: Lying) -> None:
    """A body with another digest is refused."""
    lying.answer = b"something else"
    with pytest.raises(ReplyError):
        lying.read_object(sha256(b"wanted"), board.member("ann").identity.signer)


def test_an_object_that_is_not_there_is_refused(board: Board) -> None:
    """Asking for an unknown digest is answered with a refusal."""
    member = board.member("ann")
    with member.connect() as session, pytest.raises(NoSuchRouteError):
        session.read_object(sha256(b"nothing"), member.identity.signer)


def test_an_empty_log_is_no_board() -> None:
    """There is no state without a genesis."""
    with pytest.raises(GenesisError):
        Machine.replay([])


def test_an_idle_connection_that_was_dropped_is_opened_again(board: Board) -> None:
    """The service may drop an idle connection; the next question opens another one."""
    member = board.member("ann")
    with member.connect() as session:
        first, _, _ = member.read(session)
        sock = session._connection._http.sock
        assert sock is not None
        sock.shutdown(socket.SHUT_RDWR)
        again, _, _ = member.read(session)

    assert first.size == again.size


def test_a_nonce_that_came_along_is_used_once(board: Board) -> None:
    """The first challenge costs no round trip; it is not used for anything else, or again."""
    board.enact({"ann/data": board.offer("ann", "data")})
    with TrustSession.open(board.url, board.genesis.digest) as session:
        kept = session._connection._next
        assert kept is not None
        assert session.challenge() == kept[1]
        request = board.request(session)
        session.release(request, another=True)
        session.release(board.request(session), another=True)
        following = session._connection._next
        assert following is not None
        assert session.challenge(Purpose.LEASE) != following[1]
        assert session.challenge() != following[1]


def test_a_nonce_of_a_connection_that_was_lost_is_forgotten(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever answers the next one may know of none; and none is kept until it is dead."""
    with TrustSession.open(board.url, board.genesis.digest) as session:
        connection = session._connection
        connection.close()
        assert session._connection.take_nonce(Purpose.RELEASE) is None
    with TrustSession.open(board.url, board.genesis.digest) as session:
        monkeypatch.setattr(_connection, "NONCE_AGE_S", 0.0)
        assert session._connection.take_nonce(Purpose.RELEASE) is None

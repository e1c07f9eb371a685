# SPDX-License-Identifier: Apache-2.0
"""The witness over HTTP: C2SP's status codes and media types, and what a peer may take."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.support.witnessing import (
    Answered,
    SomeLog,
    ask,
    make_witness,
    signer_of,
    witness_in_thread,
)

from accord.encoding import JSONValue
from accord.ledger import AddCheckpoint
from accord.witness import SIZE_TYPE, Limits, Witness, origin_digest

QUICK = Limits(idle_s=0.5, request_s=0.5, connections=4, connections_of_one=3)


@pytest.fixture
def log() -> SomeLog:
    """A log of ten entries."""
    return SomeLog().grow(10)


@pytest.fixture
def witness(tmp_path: Path, log: SomeLog) -> Iterator[Witness]:
    """A witness of that log, which it has cosigned at size 5."""
    made = make_witness(tmp_path / "w", log.watched)
    made.add_checkpoint(log.request(0, 5))
    yield made
    made.store.close()


@pytest.fixture
def told() -> list[dict[str, JSONValue]]:
    """What the witness writes into its own log."""
    return []


@pytest.fixture
def url(witness: Witness, told: list[dict[str, JSONValue]]) -> Iterator[str]:
    """Where that witness answers."""
    with witness_in_thread(witness, told=told) as url:
        yield url


def add(url: str, body: bytes) -> Answered:
    return ask(url, "POST", "/add-checkpoint", body)


def raw(url: str, data: bytes) -> bytes:
    """Everything that comes back on one connection that sends ``data``."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as peer:
        peer.sendall(data)
        answer = b""
        while part := peer.recv(4096):
            answer += part
    return answer


def test_a_cosignature_is_one_signature_line(url: str, log: SomeLog) -> None:
    """200, and a line that starts with the em dash and the witness's name."""
    answered = add(url, log.request(5))
    assert answered.status == 200
    assert answered.body.decode().startswith("\N{EM DASH} north ")
    assert answered.body.count(b"\n") == 1


def test_each_refusal_has_the_status_of_the_protocol(url: str, log: SomeLog) -> None:
    """400, 403, 404, 409 and 422 as c2sp.org/tlog-witness lists them."""
    unknown = SomeLog("log.example/else").grow().request(0)
    stolen = AddCheckpoint(5, (), log.note(signer=signer_of("thief"))).to_bytes()
    rewritten = AddCheckpoint(5, (), SomeLog(branch="other ").grow(9).note()).to_bytes()
    wrong = [b"nonsense", AddCheckpoint(11, (), log.note()).to_bytes(), stolen, unknown, rewritten]
    assert [add(url, body).status for body in wrong] == [400, 400, 403, 404, 422]


def test_a_conflict_tells_the_size(url: str, log: SomeLog) -> None:
    """409 with the latest size, a newline, and the media type for it."""
    split = SomeLog(branch="other ").grow(5).request(5)
    conflict = Answered(409, SIZE_TYPE, b"5\n")
    assert [conflict, conflict] == [add(url, log.request(0)), add(url, split)]
    assert SIZE_TYPE == "text/x.tlog.size"


def test_the_latest_checkpoint_is_shown(url: str, witness: Witness, log: SomeLog) -> None:
    """With the witness's own cosignature: a service that lost a fork learns the other head."""
    shown = ask(url, "GET", f"/logs/{origin_digest(log.origin)}/checkpoint")
    assert (200, witness.store.log(log.origin).note) == (shown.status, shown.body)


def test_what_is_not_there_is_not_found(url: str, witness: Witness) -> None:
    """Unknown logs, logs that were never cosigned, and other paths."""
    witness.store.add(SomeLog("log.example/new").watched)
    paths = (origin_digest("log.example/new"), origin_digest("nothing"), "short")
    found = [ask(url, "GET", f"/logs/{path}/checkpoint").status for path in paths]
    assert [*found, ask(url, "GET", "/").status] == [404, 404, 404, 404]
    assert ask(url, "PUT", "/add-checkpoint", b"x").status == 405


def test_health_and_metrics(url: str, log: SomeLog, told: list[dict[str, JSONValue]]) -> None:
    """How many requests ended how, how large each log is; its log names logs, nothing else."""
    add(url, log.request(5))
    add(url, log.request(0))
    add(url, SomeLog("log.example/" + "x" * 300).grow().request(0))
    health = json.loads(ask(url, "GET", "/healthz").body)
    metrics = ask(url, "GET", "/metrics").body.decode()
    assert health == {"status": "open", "name": "north", "logs": 1}
    assert 'accord_witness_requests_total{outcome="cosigned"} 1\n' in metrics
    assert 'accord_witness_requests_total{outcome="accord-WIT-004"} 1\n' in metrics
    assert 'accord_witness_size{log="log.example/numbers"} 10\n' in metrics
    assert [("cosigned", log.origin), ("refused", log.origin), ("refused", None)] == [
        (line["message"], line.get("log")) for line in told
    ]


def test_a_broken_state_answers_503(url: str, witness: Witness, log: SomeLog) -> None:
    """Nothing is cosigned that cannot be written down."""
    witness.store._db.close()
    assert [add(url, log.request(5)).status, ask(url, "GET", "/healthz").status] == [503, 503]


def test_a_failure_of_ours_shows_nothing(
    url: str, witness: Witness, told: list[dict[str, JSONValue]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 without a word; the log says which kind, not what it failed on."""

    def fail() -> None:
        message = "with something secret"
        raise LookupError(message)

    monkeypatch.setattr(witness.store, "logs", fail)
    assert ask(url, "GET", "/healthz") == Answered(500, "text/plain; charset=utf-8", b"")
    assert told == [{"level": "error", "message": "failed", "kind": "LookupError"}]


def test_connections_are_kept(url: str, log: SomeLog) -> None:
    """Two requests on one connection, the second one pipelined."""
    body = log.request(0)
    request = (
        f"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    last = request.replace(b"Host: w\r\n", b"Host: w\r\nConnection: close\r\n")
    assert raw(url, request + last).count(b"HTTP/1.1 409") == 2


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b" 400 "),
        (b"GET / HTTP/1.1\r\n\r\n", b" 400 "),
        (b"GET / HTTP/1.1\r\nHost: w\r\nX: " + b"x" * 20000 + b"\r\n\r\n", b" 400 "),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 1, 2\r\n\r\n", b" 400 "),
        (
            b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 99999\r\n\r\n"
            + b"x" * 40000,
            b" 413 ",
        ),
    ],
)
def test_what_is_no_request_is_answered_and_closed(url: str, data: bytes, status: bytes) -> None:
    """The connection ends with the status; nothing more is read."""
    try:
        answer = raw(url, data)
    except ConnectionResetError:  # What it had not read yet was thrown away with the answer.
        assert len(data) > 20000
    else:
        assert status in answer.partition(b"\r\n")[0] + b" "
    assert ask(url, "GET", "/healthz").status == 200


def test_slow_peers_are_sent_away(witness: Witness) -> None:
    """Whether nothing comes, or half a request: the connection ends in time."""
    with witness_in_thread(witness, limits=QUICK) as url:
        started = time.monotonic()
        assert raw(url, b"") == b""
        assert raw(url, b"POST /add-checkpoint HTTP/1.1\r\nContent-Le") == b""
        assert time.monotonic() - started < 5


def test_one_address_gets_so_many_connections(witness: Witness) -> None:
    """The fourth connection is refused; when one ends there is room again."""
    with witness_in_thread(witness, limits=QUICK) as url:
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 0)
        kept = [socket.create_connection(address, timeout=5) for _ in range(3)]
        time.sleep(0.1)
        with pytest.raises(OSError):
            ask(url, "GET", "/healthz")
        for peer in kept:
            peer.close()
        deadline = time.monotonic() + 5
        answered = None
        while answered is None and time.monotonic() < deadline:
            try:
                answered = ask(url, "GET", "/healthz").status
            except OSError:
                time.sleep(0.05)
        assert answered == 200


def test_the_database_is_never_without_its_log(tmp_path: Path, log: SomeLog) -> None:
    """Every commit waits for the disk: SQLite's own settings say so."""
    witness = make_witness(tmp_path / "w2", log.watched)
    modes = [
        witness.store._db.execute(f"PRAGMA {name}").fetchone()
        for name in ("journal_mode", "synchronous")
    ]
    witness.store.close()
    assert modes == [("wal",), (2,)]
    assert sqlite3.threadsafety == 3

# SPDX-License-Identifier: Apache-2.0
"""Witnesses over loopback HTTP that do what a test wants: answer, lie, wait, stay away."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accord.board import Witness, WitnessPolicy
from accord.identity import KeySigner, VerifyKey
from accord.ledger import AddCheckpoint, Checkpoint, add_signatures, cosign, verify_consistency
from accord.ledger import verify_checkpoint as verified

Reply = tuple[int, bytes]


@dataclass
class Seen:
    """What a witness knows of one log."""

    size: int = 0
    root: bytes = b""
    note: bytes = b""


@dataclass
class FakeWitness:
    """An honest witness in memory, unless told otherwise."""

    name: str
    group: str
    signer: KeySigner = field(default_factory=lambda: KeySigner(Ed25519PrivateKey.generate()))
    log_key: VerifyKey | None = None
    """The only log that it knows; ``None``: it answers 404."""

    url: str = ""
    delay_s: float = 0.0
    held: threading.Event | None = None
    """It answers nothing before this is set."""

    away: bool = False
    lies: bool = False
    """Cosigns whatever it is asked, and remembers nothing."""

    instead: Callable[[AddCheckpoint], Reply] | None = None
    logs: dict[str, Seen] = field(default_factory=dict)
    asked: int = 0
    answered_at: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def listed(self) -> Witness:
        return Witness(self.name, self.group, self.signer.verify_key, self.url)

    def line(self, note: bytes) -> bytes:
        return cosign(note, name=self.name, signer=self.signer, time=int(time.time())).encode()

    def add(self, body: bytes) -> Reply:
        """What the standard says (c2sp.org/tlog-witness)."""
        self.asked += 1
        if self.delay_s:
            time.sleep(self.delay_s)
        if self.held is not None:
            self.held.wait(timeout=60)
        request = AddCheckpoint.from_bytes(body)
        if self.away:
            return 503, b""
        if self.instead is not None:
            return self.instead(request)
        if self.log_key is None:
            return 404, b""
        with self._lock:
            reply = self._honest(request, self.log_key)
        self.answered_at.append(time.monotonic())
        return reply

    def _honest(self, request: AddCheckpoint, key: VerifyKey) -> Reply:
        origin = request.note.split(b"\n", 1)[0].decode()
        found: Checkpoint = verified(request.note, origin=origin, name=origin, key=key)
        line = self.line(request.note)
        if self.lies:
            return 200, line
        seen = self.logs.setdefault(origin, Seen())
        if request.old != seen.size or request.old > found.size:
            return 409, f"{seen.size}\n".encode()
        if seen.size == found.size and seen.root != found.root:
            return 409, f"{seen.size}\n".encode()
        if 0 < seen.size < found.size:
            try:
                verify_consistency(
                    old_size=seen.size,
                    old_root=seen.root,
                    new_size=found.size,
                    new_root=found.root,
                    proof=request.proof,
                )
            except Exception:  # noqa: BLE001 - a test's server answers whatever it was
                return 422, b""
        note = add_signatures(request.note, [line.decode()])
        self.logs[origin] = Seen(found.size, found.root, note)
        return 200, line

    def latest(self, digest: str) -> Reply:
        for origin, seen in self.logs.items():
            if hashlib.sha256(origin.encode()).hexdigest() == digest and seen.note:
                return 200, seen.note
        return 404, b""

    @contextlib.contextmanager
    def serving(self) -> Iterator[FakeWitness]:
        witness = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                self._reply(witness.add(self.rfile.read(int(self.headers["Content-Length"]))))

            def do_GET(self) -> None:
                self._reply(witness.latest(self.path.split("/")[2]))

            def _reply(self, reply: Reply) -> None:
                status, content = reply
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *_args: Any) -> None:
                """Nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def policy_of(witnesses: list[FakeWitness], *, quorum: int = 3, faulty: int = 1) -> WitnessPolicy:
    """The witness policy of a board with these."""
    return WitnessPolicy(tuple(item.listed for item in witnesses), quorum, faulty)


@contextlib.contextmanager
def four_witnesses(prefix: str = "w") -> Iterator[list[FakeWitness]]:
    """Four groups, of which three are a quorum, and one may lie."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(FakeWitness(f"{prefix}{n}", f"group-{prefix}{n}").serving())
            for n in range(4)
        ]

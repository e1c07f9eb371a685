# SPDX-License-Identifier: Apache-2.0
"""Logs that anybody could run, and real witnesses: in this process, or as owners run them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accord.encoding import JSONValue, base64_encode
from accord.identity import KeySigner
from accord.ledger import AddCheckpoint, MerkleTree, leaf_hash, sign_note
from accord.witness import (
    Examiner,
    Limits,
    WatchedLog,
    Witness,
    WitnessKey,
    WitnessStore,
    serving,
)

TIME = 1_800_000_000


def signer_of(label: str) -> KeySigner:
    """A key that anybody can derive; it protects nothing."""
    seed = hashlib.sha256(f"accord tests, {label}".encode()).digest()
    return KeySigner(Ed25519PrivateKey.from_private_bytes(seed))


@dataclass
class SomeLog:
    """A log of numbered leaves; ``branch`` tells apart those that claim to be the same."""

    origin: str = "log.example/numbers"
    name: str = "log.example"
    branch: str = ""
    tree: MerkleTree = field(default_factory=MerkleTree)

    @property
    def signer(self) -> KeySigner:
        return signer_of(self.name)

    @property
    def watched(self) -> WatchedLog:
        return WatchedLog(self.origin, self.name, self.signer.verify_key)

    def grow(self, count: int = 1) -> SomeLog:
        for _ in range(count):
            self.tree.append(leaf_hash(f"{self.branch}{self.tree.size}".encode()))
        return self

    def note(self, size: int | None = None, *, signer: KeySigner | None = None) -> bytes:
        size = self.tree.size if size is None else size
        text = f"{self.origin}\n{size}\n{base64_encode(self.tree.root(size))}\n"
        return sign_note(text, name=self.name, signer=signer or self.signer)

    def request(self, old: int, size: int | None = None) -> bytes:
        """The body of add-checkpoint, with an honest proof."""
        size = self.tree.size if size is None else size
        proof = self.tree.consistency_proof(old, size)
        return AddCheckpoint(old, proof, self.note(size)).to_bytes()


def make_witness(
    home: Path, *logs: WatchedLog, name: str = "north", examiner: Examiner | None = None
) -> Witness:
    """A witness of these logs with a clock that stands; its store is open."""
    home.mkdir(exist_ok=True)
    store = WitnessStore(home)
    for log in logs:
        store.add(log)
    key = WitnessKey.create(home, name)
    return Witness(store, key, clock=lambda: TIME, examiner=examiner)


@dataclass(frozen=True)
class Answered:
    """One answer of a witness."""

    status: int
    media_type: str
    body: bytes


def ask(url: str, method: str, path: str, body: bytes | None = None) -> Answered:
    """One request on a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return Answered(answer.status, answer.getheader("Content-Type", ""), answer.read())
    finally:
        connection.close()


@contextlib.contextmanager
def witness_in_thread(
    witness: Witness,
    *,
    limits: Limits | None = None,
    told: list[dict[str, JSONValue]] | None = None,
) -> Iterator[str]:
    """Inside, the witness answers at the URL, in a thread."""
    lines = [] if told is None else told
    found: queue.Queue[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()
    listener = socket.create_server(("127.0.0.1", 0))

    async def main() -> None:
        stop = asyncio.Event()
        async with serving(witness, listener, told=lines.append, limits=limits or Limits()) as url:
            found.put((url, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    url, loop, stop = found.get(timeout=10)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        listener.close()


@dataclass
class WitnessProcess:
    """A witness as its owner runs it: `accord witness serve` on a folder."""

    home: Path
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    url: str = ""

    def start(self) -> WitnessProcess:
        url_file = self.home / "url"
        url_file.unlink(missing_ok=True)
        arguments = ["witness", "serve", str(self.home), "--listen", "127.0.0.1:0"]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "accord", *arguments, "--url-file", url_file, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while not url_file.exists():
            if time.monotonic() > deadline or self.process.poll() is not None:
                message = f"the witness did not start: {(self.home / 'log').read_text()}"
                raise RuntimeError(message)
            time.sleep(0.01)
        self.url = url_file.read_text()
        return self

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Sends it a signal and waits for its end."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        return self.process.wait(timeout=15)

    def kill(self) -> None:
        self.end(signal.SIGKILL)

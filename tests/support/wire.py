# SPDX-License-Identifier: Apache-2.0
"""Requests byte by byte: to an application in this process, or over TLS to a real service."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accord.channel import SignedRequest, TLSIdentity
from accord.encoding import Digest, canonical_json
from accord.errors import catalogue
from accord.evidence import Role
from accord.identity import FileIdentity
from accord.service import create_app
from tests.support.live import EVERYBODY, Hardware, make_genesis, make_service

GET_ROUTES = ("{board}/genesis", "{board}/log", "{board}/objects/" + 64 * "a")
POST_ROUTES = (
    "/v1/attest",
    "/v1/boards",
    "{board}/statements",
    "{board}/challenges",
    "{board}/releases",
    "{board}/runs",
)
ROUTES = tuple(
    [("GET", "/healthz")]
    + [("GET", path) for path in GET_ROUTES]
    + [("POST", path) for path in POST_ROUTES]
)


def signed_read(
    identity: FileIdentity,
    board: str,
    path: str,
    tls_spki_sha256: bytes,
    *,
    time: datetime | None = None,
) -> dict[str, str]:
    """The header of a read by ``identity``."""
    request = SignedRequest(Digest(board), path, tls_spki_sha256, time or datetime.now(UTC))
    return {"Authorization": request.header(identity.signer)}


@dataclass
class InProcess:
    """The HTTP application over a trust service in this process, with one founded board."""

    hardware: Hardware
    root: Path
    constitution: Mapping[str, Any] = field(default_factory=lambda: EVERYBODY)

    def __post_init__(self) -> None:
        self.genesis, self.envelope = make_genesis(
            self.root, self.hardware, constitution=self.constitution
        )
        self.service = make_service(self.hardware.attester(Role.SERVICE))
        self.app = create_app(self.service)
        self.host = asyncio.run(self.service.found(self.envelope))
        self.path = "/v1/boards/" + self.genesis.digest.removeprefix("sha256:")

    def identity(self, name: str) -> FileIdentity:
        return FileIdentity.load(self.root / name)

    def call(
        self,
        method: str,
        path: str,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request; an error that escapes the application becomes its answer 500."""
        return asyncio.run(self._call(method, path, content, headers or {}))

    async def _call(
        self, method: str, path: str, content: bytes, headers: Mapping[str, str]
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="https://service") as client:
            return await client.request(method, path, content=content, headers=headers)

    def post(self, path: str, document: Any) -> httpx.Response:
        return self.call("POST", path, canonical_json(document))

    def read(self, name: str, path: str, *, time: datetime | None = None) -> httpx.Response:
        headers = signed_read(self.identity(name), self.genesis.digest, path, bytes(32), time=time)
        return self.call("GET", path, headers=headers)


def problem_code(status: int, body: bytes) -> str:
    """The code of a problem document, which must be one of the catalogue with its status."""
    document = json.loads(body)
    assert document["code"] in catalogue()
    assert (document["status"], document["title"]) == (status, document["title"])
    assert {"type", "title", "status", "code", "hint", "details"} == set(document)
    return str(document["code"])


def client_context(*, maximum: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client that believes any certificate, as somebody who attacks would."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if maximum is not None:
        context.maximum_version = maximum
    return context


def dial(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 443), timeout=20)


def raw_exchange(url: str, data: bytes) -> bytes:
    """Everything that the service answers to exactly these bytes until it closes."""
    received = b""
    with dial(url) as plain, client_context().wrap_socket(plain) as connection:
        connection.settimeout(5)
        with contextlib.suppress(OSError):
            connection.sendall(data)
        with contextlib.suppress(OSError):
            while part := connection.recv(65536):
                received += part
    return received


def statuses(received: bytes) -> list[int]:
    """The status codes of the answers in a raw exchange."""
    lines = [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    return [int(line.split()[1]) for line in lines]


def tls_key(url: str) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo of the key that answers at ``url``."""
    with dial(url) as plain, client_context().wrap_socket(plain) as connection:
        certificate = x509.load_der_x509_certificate(
            connection.getpeercert(binary_form=True) or b""
        )
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


class Relay:
    """Somebody between client and service, who can pass bytes on or end TLS himself."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.intercept = True
        """Whether the next connection meets the relay's own TLS key instead of the service's."""

        self.tls = TLSIdentity.generate()
        self.heard: list[bytes] = []
        self._context = self.tls.server_context()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def drop(self) -> None:
        """Ends every connection that is open."""
        for item in self._open:
            with contextlib.suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._start(self._relay, client)

    def _relay(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(client)
            upstream = stack.enter_context(dial(self.target))
            if self.intercept:
                client = stack.enter_context(self._context.wrap_socket(client, server_side=True))
                upstream = stack.enter_context(client_context().wrap_socket(upstream))
            self._open += [client, upstream]
            back = threading.Thread(target=self._copy, args=(upstream, client, []))
            back.start()
            self._copy(client, upstream, self.heard)
            back.join()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket, heard: list[bytes]) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                heard.append(part)
                sink.sendall(part)
        for item in (source, sink):
            with contextlib.suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)

    def _start(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    @contextlib.contextmanager
    def running(self) -> Iterator[Relay]:
        self._start(self._serve)
        try:
            yield self
        finally:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self.drop()
            for thread in self._threads:
                thread.join(timeout=10)

# SPDX-License-Identifier: Apache-2.0
"""A session with the trust service that was attested before anything else was said."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from accord.board import Genesis
from accord.channel import PinnedContext, Side, SignedRequest, binder, from_problem
from accord.client._log import LogPages
from accord.client._proof import prove_first, prove_service
from accord.encoding import (
    Digest,
    Envelope,
    Fields,
    JSONValue,
    base64_encode,
    canonical_json,
    parse_json,
    sha256,
)
from accord.errors import (
    AccordError,
    LogKeyError,
    MalformedError,
    ReplyError,
    ServiceChangedError,
    TooLargeError,
    UnreachableError,
)
from accord.evidence import AttestationResult, Evidence, Purpose
from accord.identity import Keyset, Signer, Statement, verify_statement
from accord.ledger import Ledger, verify_checkpoint
from accord.policy import Channel
from accord.release import (
    LOG_NAME,
    NONCE_BYTES,
    Lease,
    LeaseRequest,
    Machine,
    Refusal,
    ReleaseRequest,
    log_origin,
)

MAX_REPLY_BYTES = 64 << 20
"""Largest reply: a log of some ten thousand entries, in base64."""

TIMEOUT_S = 30.0
DEFAULT_CHANNEL = Channel.L1
"""What a session asks for if its caller does not say."""

CHANNEL_LEVEL = DEFAULT_CHANNEL.value


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the service, read whole."""

    status: int
    content: bytes
    timing: str


class _HTTP(HTTPConnection):
    """The standard library's client over our TLS; it never opens a connection by itself."""

    default_port = 443
    auto_open = 0
    sock: Any

    def __init__(self, host: str, port: int, context: PinnedContext) -> None:
        super().__init__(host, port, timeout=TIMEOUT_S)
        self._context = context
        self._unsent = bytearray()

    def connect(self) -> None:
        self._unsent.clear()
        with socket.create_connection((self.host, self.port), TIMEOUT_S) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock = self._context.wrap_socket(plain)  # It takes the connection over.

    def send(self, data: Any) -> None:
        """Keeps it until `getresponse`: header and body leave together and wake the peer once."""
        self._unsent += data

    def getresponse(self) -> HTTPResponse:
        self.sock.sendall(bytes(self._unsent))
        self._unsent.clear()
        return super().getresponse()


class Connection:
    """HTTP over pinned TLS, before anything about the peer is believed.

    The standard library's client: it is part of the code that runs inside the TEE.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise UnreachableError(url=url, detail="expected https://HOST:PORT") from None
        if parts.scheme != "https" or not host or parts.path.strip("/"):
            raise UnreachableError(url=url, detail="expected https://HOST:PORT")
        self.url = url.rstrip("/")
        self.attested = False
        """Set once the peer's evidence was appraised; until then its refusals are not read."""

        self.prove: Callable[[], None] | None = None
        """What a new TLS connection has to pass before anything else is sent (level 2)."""

        self.context = PinnedContext()
        self._http = _HTTP(host, port or _HTTP.default_port, self.context)

    def close(self) -> None:
        self._http.close()

    @contextmanager
    def closed_on_failure(self) -> Iterator[None]:
        """A peer that is refused is not left waiting."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def binder(self, side: Side, nonce: bytes) -> bytes:
        """What the evidence of ``side`` must prove of the connection that is open now.

        Raises ``UnreachableError`` where there is none: the peer may have closed it.
        """
        if self._http.sock is None:
            raise UnreachableError(url=self.url, detail="it does not keep a connection open")
        return binder(self._http.sock.tls, side, nonce)

    def send(
        self,
        method: str,
        path: str,
        document: JSONValue | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """One exchange. Raises ``UnreachableError`` or the error that the peer reports."""
        body = None if document is None else canonical_json(document)
        reply = self._exchange(method, path, body, headers or {})
        if reply.status < HTTPStatus.BAD_REQUEST:
            return reply
        if not self.attested:  # Its words could be anybody's, so could its error codes.
            raise ReplyError(detail=f"HTTP status {reply.status} before it proved who it is")
        raise from_problem(_json(reply.content))

    def open(self) -> None:
        """Opens a connection if there is none; what it has to prove, it proves first.

        Raises ``UnreachableError`` and what `prove` raises.
        """
        if self._http.sock is not None:
            return
        with self._reported():
            self._http.connect()
        if self.prove is not None:
            prove, self.prove, self.attested = self.prove, None, False  # It sends, too.
            try:
                with self.closed_on_failure():
                    prove()
                self.attested = True
            finally:
                self.prove = prove

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (OSError, HTTPException) as exc:
            self._http.close()
            raise UnreachableError(url=self.url, detail=str(exc) or type(exc).__name__) from exc

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Reply:
        kept = self._http.sock is not None
        with self._reported():
            try:
                self.open()
                self._http.request(method, path, body, headers)
                answer = self._http.getresponse()
                content = answer.read(MAX_REPLY_BYTES + 1)
            except ConnectionError:
                self._http.close()
                # The peer may drop a connection that was idle; then, and only then, ask again.
                if not kept:
                    raise
                return self._exchange(method, path, body, headers)
        if len(content) > MAX_REPLY_BYTES:
            self._http.close()
            raise TooLargeError(what=f"reply from {self.url}", limit=MAX_REPLY_BYTES)
        if answer.length:  # `read` returns what came before the end, and does not complain.
            self._http.close()
            raise UnreachableError(url=self.url, detail="the answer was cut off")
        return Reply(answer.status, content, answer.getheader("Server-Timing", ""))

    def fields(self, method: str, path: str, document: JSONValue | None = None) -> Fields:
        return Fields(_json(self.send(method, path, document).content), f"reply to {path}")


def _json(content: bytes) -> JSONValue:
    try:
        return parse_json(content, what="reply", limit=MAX_REPLY_BYTES)
    except MalformedError as exc:
        raise ReplyError(detail="something that is not JSON") from exc


class TrustSession:
    """A trust service whose evidence satisfied the board's founders' conditions."""

    def __init__(
        self,
        connection: Connection,
        genesis: Genesis,
        keyset: Keyset,
        result: AttestationResult,
        channel: Channel = Channel.L1,
    ) -> None:
        self._connection = connection
        self.genesis, self.keyset, self.result = genesis, keyset, result
        self.channel = channel
        """The level that was reached; secrets are sealed to attested keys at every level."""

        self.board = genesis.digest
        self._path = f"/v1/boards/{self.board.removeprefix('sha256:')}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    @classmethod
    def open(cls, url: str, board: Digest, *, channel: Channel = DEFAULT_CHANNEL) -> TrustSession:
        """Fetches the genesis that ``board`` names, and attests the service by it.

        Raises ``GenesisError`` where the service has another, CHN and ATT errors.
        """
        connection = Connection(url)
        with connection.closed_on_failure():
            genesis, keyset, result = prove_first(connection, board, channel)
            return cls._attested(connection, genesis, keyset, result, channel)

    @classmethod
    def attest(
        cls, url: str, genesis: Genesis, *, channel: Channel = DEFAULT_CHANNEL
    ) -> TrustSession:
        """Attests the service by a genesis that the caller already trusts."""
        connection = Connection(url)
        with connection.closed_on_failure():
            keyset, result = prove_service(connection, genesis, channel)
            return cls._attested(connection, genesis, keyset, result, channel)

    @classmethod
    def _attested(
        cls,
        connection: Connection,
        genesis: Genesis,
        keyset: Keyset,
        result: AttestationResult,
        channel: Channel,
    ) -> TrustSession:
        connection.attested = True
        if channel is Channel.L2:

            def prove() -> None:
                if prove_service(connection, genesis, channel)[0] != keyset:
                    raise ServiceChangedError(url=connection.url)

            connection.prove = prove
        return cls(connection, genesis, keyset, result, channel)

    def binder(self, nonce: bytes) -> bytes | None:
        """What our own evidence for ``nonce`` must prove of the connection: nothing at level 1."""
        if self.channel is Channel.L1:
            return None
        self._connection.open()
        return self._connection.binder(Side.CLIENT, nonce)

    def found(self, envelope: Envelope) -> None:
        """Founds the board; sending the same genesis again is no error."""
        self._connection.send("POST", "/v1/boards", envelope.to_json())

    def submit(
        self,
        envelope: Envelope,
        *,
        sealed_key: bytes | None = None,
        evidence: Evidence | None = None,
    ) -> int:
        """Hands in a member's statement and returns its index in the log.

        ``evidence`` is that behind an automated member's ballot.
        """
        document: dict[str, JSONValue] = {"envelope": envelope.to_json()}
        if sealed_key is not None:
            document["sealed_key"] = base64_encode(sealed_key)
        if evidence is not None:
            document["evidence"] = evidence.to_json()
        return self._index(f"{self._path}/statements", document)

    def record_run(self, envelope: Envelope) -> int:
        """Hands in a run statement and returns its index in the log."""
        return self._index(f"{self._path}/runs", envelope.to_json())

    def _index(self, path: str, document: JSONValue) -> int:
        fields = self._connection.fields("POST", path, document)
        index = fields.integer("index", minimum=0)
        fields.end()
        return index

    def challenge(self, purpose: Purpose = Purpose.RELEASE) -> bytes:
        """A nonce for one request of this purpose."""
        wanted = {"purpose": purpose.value}
        fields = self._connection.fields("POST", f"{self._path}/challenges", wanted)
        nonce = fields.data("nonce", size=NONCE_BYTES)
        fields.time("expires")
        fields.end()
        return nonce

    def release(self, request: ReleaseRequest) -> tuple[bytes, str]:
        """The sealed grant, and the service's own timing of its steps (Server-Timing).

        Raises what the service refuses it with; where it explains that, its word is verified.
        """
        with self._refusals_verified(request.nonce):
            reply = self._connection.send("POST", f"{self._path}/releases", request.to_json())
        fields = Fields(_json(reply.content), "reply to release")
        sealed = fields.data("sealed", limit=MAX_REPLY_BYTES)
        fields.end()
        return sealed, reply.timing

    def renew(self, request: LeaseRequest) -> Lease:
        """The lease of a run that may go on. Raises as `release` does."""
        with self._refusals_verified(request.nonce):
            reply = self._connection.send("POST", f"{self._path}/leases", request.to_json())
        envelope = Envelope.from_json(_json(reply.content), what="lease")
        lease = Lease.from_fields(self._said_by_service("lease", envelope).fields())
        if (lease.board, lease.run, lease.nonce) != (self.board, request.run, request.nonce):
            raise ReplyError(detail="the lease of another run")
        return lease

    def exchange(self, envelope: Envelope, evidence: Evidence) -> bytes:
        """A secret that this service exports to the trust service that signed ``envelope``."""
        document = {"envelope": envelope.to_json(), "evidence": evidence.to_json()}
        fields = self._connection.fields("POST", f"{self._path}/exports", document)
        sealed = fields.data("sealed", limit=MAX_REPLY_BYTES)
        fields.end()
        return sealed

    @contextmanager
    def _refusals_verified(self, nonce: bytes) -> Iterator[None]:
        """A refusal that claims to be signed is, by the attested service, for this request."""
        try:
            yield
        except AccordError as exc:
            if exc.refusal is None:
                raise
            envelope = Envelope.from_bytes(exc.refusal, what="refusal")
            refusal = Refusal.from_fields(self._said_by_service("refusal", envelope).fields())
            if (refusal.board, refusal.nonce) != (self.board, nonce):
                raise ReplyError(detail="the refusal of another request") from exc
            # What was signed is raised, whatever was written around it.
            signed: JSONValue = {"code": refusal.code, "details": dict(refusal.details)}
            error = from_problem(signed)
            error.refusal = exc.refusal
            raise error from exc

    def _said_by_service(self, kind: str, envelope: Envelope) -> Statement:
        key = self.keyset.verify_key
        return verify_statement(envelope, kind, {key.key_id: key})

    def read_log(self, signer: Signer) -> tuple[Ledger, Machine, bytes]:
        """The whole log, replayed here: nothing of the service's own view is believed.

        Returns ledger, state and the checkpoint note. Evidence in the log is *not* verified
        again, and a log that was rolled back as a whole looks complete: compare with an
        earlier checkpoint. Raises LED, BRD and REL errors.
        """
        pages = LogPages(lambda query: self._read(f"{self._path}/log", signer, query))
        ledger, machine = Machine.replay(pages)
        key, origin, note = self.keyset.verify_key, log_origin(self.board), pages.checkpoint
        ledger.verify_complete(verify_checkpoint(note, origin=origin, name=LOG_NAME, key=key))
        if machine.board.board != self.board or machine.log_key != key:
            raise LogKeyError(index=0)
        return ledger, machine, note

    def read_object(self, digest: Digest, signer: Signer) -> bytes:
        """A body that the log names by digest, checked against it."""
        path = f"{self._path}/objects/{digest.removeprefix('sha256:')}"
        body = self._read(path, signer)
        if sha256(body) != digest:
            raise ReplyError(detail=f"another object than {digest}")
        return body

    def _read(self, path: str, signer: Signer, query: str = "") -> bytes:
        request = SignedRequest(
            self.board, path, self._connection.context.pinned or b"", datetime.now(UTC)
        )
        headers = {"Authorization": request.header(signer)}
        target = f"{path}?{query}" if query else path
        return self._connection.send("GET", target, headers=headers).content

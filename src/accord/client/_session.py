# SPDX-License-Identifier: Apache-2.0
"""A session with the trust service that was attested before anything else was said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from accord.board import Genesis
from accord.channel import Side, SignedRequest, from_problem
from accord.client._connection import MAX_REPLY_BYTES, Connection, parse_reply
from accord.client._log import LogPages
from accord.client._proof import prove_first, prove_service
from accord.encoding import (
    Digest,
    Envelope,
    Fields,
    JSONValue,
    base64_encode,
    sha256,
)
from accord.errors import (
    AccordError,
    AppraisalError,
    BoardMovedError,
    LogKeyError,
    NoSuchRouteError,
    ReplyError,
    ServiceChangedError,
    ServiceDismissedError,
)
from accord.evidence import AttestationResult, Evidence, Purpose, appraise
from accord.identity import Keyset, Signer, Statement, VerifyKey, verify_statement
from accord.ledger import Ledger, verify_checkpoint
from accord.policy import AttestationVariant, Channel
from accord.release import (
    NONCE_BYTES,
    Lease,
    LeaseRequest,
    Machine,
    Refusal,
    ReleaseRequest,
    log_origin,
)


class TrustSession:
    """A trust service whose evidence satisfied the board's founders' conditions.

    Members may have replaced it since: whoever reads its log calls `require_accepted`.
    """

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
    def open(
        cls,
        url: str,
        board: Digest,
        *,
        channel: Channel = Channel.L2,
        public_only: bool = False,
        purpose: Purpose = Purpose.RELEASE,
        accepted: Sequence[AttestationVariant] = (),
        known: VerifyKey | None = None,
    ) -> TrustSession:
        """Fetches the genesis that ``board`` names, and attests the service by it.

        Or by ``accepted``, the conditions that the caller knows from a later charter, or by
        ``known``, the key that the caller knows to be the log's.
        ``purpose`` is that of the first challenge, which comes along and saves a round trip.
        With ``public_only`` no address of this machine or of its own network is called.
        Raises ``GenesisError`` where the service has another, CHN and ATT errors.
        """
        connection = Connection(url, public_only=public_only)
        with connection.closed_on_failure():
            genesis, keyset, result = prove_first(
                connection, board, channel, purpose, accepted, known=known
            )
            return cls._attested(
                connection, genesis, keyset, result, channel, accepted=accepted, known=known
            )

    @classmethod
    def attest(
        cls,
        url: str,
        genesis: Genesis,
        *,
        channel: Channel = Channel.L2,
        accepted: Sequence[AttestationVariant] = (),
    ) -> TrustSession:
        """Attests the service by a genesis that the caller already trusts.

        ``accepted`` are the conditions that the caller knows from a later charter.
        """
        connection = Connection(url)
        with connection.closed_on_failure():
            keyset, result = prove_service(connection, genesis, channel, accepted)
            return cls._attested(connection, genesis, keyset, result, channel, accepted=accepted)

    @classmethod
    def _attested(
        cls,
        connection: Connection,
        genesis: Genesis,
        keyset: Keyset,
        result: AttestationResult,
        channel: Channel,
        *,
        accepted: Sequence[AttestationVariant] = (),
        known: VerifyKey | None = None,
    ) -> TrustSession:
        connection.attested = True
        if channel is Channel.L2:

            def prove() -> None:
                again, _ = prove_service(connection, genesis, channel, accepted, known=known)
                if again != keyset:
                    raise ServiceChangedError(url=connection.url)

            connection.prove = prove
        return cls(connection, genesis, keyset, result, channel)

    def require_accepted(self, machine: Machine) -> None:
        """Raises ``ServiceDismissedError`` where the charter in force names no such service."""
        try:
            appraise(self.result.claims, machine.board.charter.service, now=datetime.now(UTC))
        except AppraisalError as exc:
            raise ServiceDismissedError(board=self.board) from exc

    def require_here(self, machine: Machine) -> None:
        """Raises ``BoardMovedError`` where the log ends with a hand-over to another service.

        Or ``LogKeyError`` where it is another one's for another reason.
        """
        if machine.log_key == self.keyset.verify_key:
            return
        if machine.handover is None:
            raise LogKeyError(index=0)
        raise BoardMovedError(board=self.board, url=machine.handover.url)

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

    def commit_tag(self, envelope: Envelope) -> int:
        """Hands in a commit of live volumes' tags and returns its index in the log.

        Once this returns, no volume goes back behind it. Sending it again is no error.
        """
        return self._index(f"{self._path}/tags", envelope.to_json())

    def _index(self, path: str, document: JSONValue) -> int:
        fields = self._connection.fields("POST", path, document)
        index = fields.integer("index", minimum=0)
        fields.end()
        return index

    def challenge(self, purpose: Purpose = Purpose.RELEASE) -> bytes:
        """A nonce for one request of this purpose."""
        kept = self._connection.take_nonce(purpose)
        if kept is not None:
            return kept
        wanted = {"purpose": purpose.value}
        fields = self._connection.fields("POST", f"{self._path}/challenges", wanted)
        nonce = fields.data("nonce", size=NONCE_BYTES)
        fields.time("expires")
        fields.end()
        return nonce

    def release(self, request: ReleaseRequest, *, another: bool = False) -> tuple[bytes, str]:
        """The sealed grant, and the service's own timing of its steps (Server-Timing).

        ``another`` says that a request for one more release follows, whose nonce comes along.
        Raises what the service refuses it with; where it explains that, its word is verified.
        """
        with self._refusals_verified(request.nonce):
            reply = self._connection.send(
                "POST",
                f"{self._path}/releases",
                request.to_json(),
                next_nonce=Purpose.RELEASE if another else None,
            )
        fields = Fields(parse_reply(reply.content), "reply to release")
        sealed = fields.data("sealed", limit=MAX_REPLY_BYTES)
        fields.end()
        return sealed, reply.timing

    def renew(self, request: LeaseRequest) -> Lease:
        """The lease of a run that may go on. Raises as `release` does."""
        with self._refusals_verified(request.nonce):
            reply = self._connection.send("POST", f"{self._path}/leases", request.to_json())
        envelope = Envelope.from_json(parse_reply(reply.content), what="lease")
        lease = Lease.from_fields(self.said_by_service("lease", envelope).fields())
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
            refusal = Refusal.from_fields(self.said_by_service("refusal", envelope).fields())
            if (refusal.board, refusal.nonce) != (self.board, nonce):
                raise ReplyError(detail="the refusal of another request") from exc
            # What was signed is raised, whatever was written around it.
            signed: JSONValue = {"code": refusal.code, "details": dict(refusal.details)}
            error = from_problem(signed)
            error.refusal = exc.refusal
            raise error from exc

    def said_by_service(self, kind: str, envelope: Envelope) -> Statement:
        """A statement of the attested service itself. Raises ``SignatureInvalidError``."""
        key = self.keyset.verify_key
        return verify_statement(envelope, kind, {key.key_id: key})

    def read_log(self, signer: Signer) -> tuple[Ledger, Machine, bytes]:
        """The whole log, replayed here: nothing of the service's own view is believed.

        Returns ledger, state and the checkpoint note. Evidence in the log is *not* verified
        again, and a log that was rolled back as a whole looks complete: compare with an
        earlier checkpoint. Nor is it checked that the service is still accepted, or that it did
        not hand the board over at the end. Raises LED, BRD and REL errors.
        """
        pages = LogPages(lambda query: self._read(f"{self._path}/log", signer, query))
        ledger, machine = Machine.replay(pages)
        key, note = self.keyset.verify_key, pages.checkpoint
        origin = log_origin(self.board, machine.board.generation(ledger.size))
        ledger.verify_complete(verify_checkpoint(note, origin=origin, name=origin, key=key))
        if machine.board.board != self.board or key not in machine.closing_keys:
            raise LogKeyError(index=0)
        return ledger, machine, note

    def read_entries(self, signer: Signer, *, start: int, size: int | None) -> Iterator[bytes]:
        """The entries from ``start`` to ``size``, or to all there are; nothing is verified here."""

        def fetch(query: str) -> bytes:
            return self._read(f"{self._path}/log", signer, query)

        yield from LogPages(fetch, start=start, size=size)

    def status(self, signer: Signer) -> JSONValue:
        """What the service says of the board and its witnesses; nothing of it is proved."""
        return parse_reply(self._read(f"{self._path}/status", signer))

    def receipt(self, index: int, signer: Signer) -> bytes:
        """A COSE receipt of an entry, not verified; whoever cosigned is not in it."""
        return self._read(f"{self._path}/receipts/{index}", signer)

    def cosigned_note(self, change: int | None = None) -> bytes | None:
        """The newest checkpoint that witnesses cosigned, not verified; ``None``: there is none.

        Or the one that first covered entry ``change``, which replaced them.
        """
        query = "" if change is None else f"?change={change}"
        try:
            return self._connection.send("GET", f"{self._path}/checkpoint{query}").content
        except NoSuchRouteError:
            return None

    def read_object(self, digest: Digest, signer: Signer) -> bytes:
        """A body that the log names by digest, checked against it."""
        path = f"{self._path}/objects/{digest.removeprefix('sha256:')}"
        body = self._read(path, signer)
        if sha256(body) != digest:
            raise ReplyError(detail=f"another object than {digest}")
        return body

    def ask(self, method: str, what: str, document: JSONValue | None = None) -> Fields:
        """The answer to a request below the board's path. Raises what the service reports."""
        return self._connection.fields(method, f"{self._path}/{what}", document)

    def read(self, what: str, signer: Signer, query: str = "") -> bytes:
        """The answer to a member's signed request below the board's path."""
        return self._read(f"{self._path}/{what}", signer, query)

    def _read(self, path: str, signer: Signer, query: str = "") -> bytes:
        request = SignedRequest(
            self.board, path, self._connection.context.pinned or b"", datetime.now(UTC)
        )
        headers = {"Authorization": request.header(signer)}
        target = f"{path}?{query}" if query else path
        return self._connection.send("GET", target, headers=headers).content

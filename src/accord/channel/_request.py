# SPDX-License-Identifier: Apache-2.0
"""Reading needs a member's signature over the request, bound to the connection's TLS key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from accord.encoding import (
    Digest,
    Envelope,
    Fields,
    JSONValue,
    base64_decode,
    base64_encode,
    format_time,
)
from accord.errors import AccordError, RequestRefusedError
from accord.identity import Signer, VerifyKey, sign_statement, verify_statement

SCHEME = "Accord "
MAX_SKEW = timedelta(minutes=5)
"""Largest difference between the clocks of a member and the trust service."""

MAX_HEADER = 4096


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """One read by one member; worthless for another path, and at another TLS key."""

    SCHEMA = "accord.request.v1"

    board: Digest
    path: str
    tls_spki_sha256: bytes
    time: datetime

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "path": self.path,
            "tls_spki_sha256": self.tls_spki_sha256.hex(),
            "time": format_time(self.time),
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> SignedRequest:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        request = cls(
            fields.digest("board"),
            fields.text("path", limit=1024),
            fields.hex("tls_spki_sha256", size=32),
            fields.time("time"),
        )
        fields.end()
        return request

    def header(self, signer: Signer) -> str:
        """The value of the ``Authorization`` header."""
        envelope = sign_statement("request", self.to_json(), [signer])
        return SCHEME + base64_encode(envelope.to_bytes())


def authorise_read(
    header: str | None,
    *,
    keys: Mapping[Digest, VerifyKey],
    board: Digest,
    path: str,
    tls_spki_sha256: bytes,
    now: datetime,
) -> Digest:
    """The id of the key, one of ``keys``, whose request for ``path`` the ``header`` is.

    Raises ``RequestRefusedError``.
    Within `MAX_SKEW` the same request may be read again: the answer goes to whoever holds the
    TLS connection, and that is not somebody who only saw the header.
    """
    # (1) There is a header of our scheme and of a sane size.
    if header is None or not header.startswith(SCHEME) or len(header) > MAX_HEADER:
        raise RequestRefusedError(detail="there is no signature")
    try:
        data = base64_decode(header.removeprefix(SCHEME), what="Authorization")
        # (2) A member signed it.
        statement = verify_statement(
            Envelope.from_bytes(data, what="Authorization"), "request", keys
        )
        request = SignedRequest.from_fields(statement.fields())
    except AccordError as exc:
        raise RequestRefusedError(detail="the signature is not valid") from exc
    # (3) For this board and path, over this TLS key, now.
    if (request.board, request.path) != (board, path):
        raise RequestRefusedError(detail="it was signed for something else")
    if request.tls_spki_sha256 != tls_spki_sha256:
        raise RequestRefusedError(detail="it was signed for another connection")
    if abs(request.time - now) > MAX_SKEW:
        raise RequestRefusedError(detail=f"it was signed at {format_time(request.time)}")
    if len(statement.signers) != 1:
        raise RequestRefusedError(detail="several keys signed it")
    return next(iter(statement.signers))

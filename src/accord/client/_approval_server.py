# SPDX-License-Identifier: Apache-2.0
"""The member's side of PALAEMON's approval service: one HTTPS route that answers with a ballot.

Its TLS key is pinned in the charter, so it is kept beside the member's identity. Every failure
is the same to the trust service: no vote.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from accord.board import ApprovalAnswer, ApprovalRequest, Choice
from accord.channel import MEDIA_TYPE, TLSIdentity, to_problem
from accord.client._approval import Check, answer_request
from accord.client._home import MemberHome
from accord.encoding import Fields, JSONValue, canonical_json, parse_json
from accord.errors import AccordError, ApprovalRefusedError, MalformedError
from accord.evidence import Attester
from accord.identity import PRIVATE, read_private, write_whole

APPROVAL_PATH = "/approve"
MAX_REQUEST = 4 << 20
"""Largest request, in bytes: a proposal of 64 policies, signed and in base64, is smaller."""

READ_TIMEOUT_S = 20.0
_TLS_FILE = "approval.secret.pem"


def load_tls(home: Path) -> TLSIdentity:
    """The TLS key of the approval service in ``home``, made on first use.

    Raises ``IdentityExposedError`` or ``MalformedError``.
    """
    path = home / _TLS_FILE
    if not path.exists():
        made = TLSIdentity.generate()
        key = made.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_whole(path, key + made.certificate.public_bytes(Encoding.PEM), mode=PRIVATE)
    data = read_private(path)
    try:
        private, certificate = (
            load_pem_private_key(data, None),
            x509.load_pem_x509_certificate(data),
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise MalformedError(what=str(path), detail="expected a key and a certificate") from exc
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise MalformedError(what=str(path), detail="expected a key on a curve")
    return TLSIdentity(private, certificate)


def check_by_program(
    command: Sequence[str], *, timeout_s: float, reject_on_failure: bool = False
) -> Check:
    """A check that asks a program: the case as JSON on its standard input.

    Exit code 0 approves; 1 rejects with ``reject_on_failure`` and else casts no vote, like
    every other end, and like no end in time.
    """

    def check(case: JSONValue) -> Choice | None:
        try:
            done = subprocess.run(
                list(command),
                input=json.dumps(case, ensure_ascii=True).encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
                timeout=timeout_s,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        if done.returncode == 0:
            return Choice.APPROVE
        return Choice.REJECT if done.returncode == 1 and reject_on_failure else None

    return check


class ApprovalServer(ThreadingHTTPServer):
    """Serves one member's home; each request is judged against the board's log as it is now."""

    daemon_threads = True
    request_queue_size = 16

    def __init__(
        self,
        address: tuple[str, int],
        home: MemberHome,
        *,
        tls: TLSIdentity,
        check: Check,
        told: Callable[[str], None],
        attester: Attester | None = None,
    ) -> None:
        super().__init__(address, _Handler)
        self._context = tls.server_context()
        self._home, self._check, self._attester = home, check, attester
        self.told = told
        """What is done is said here, one line each; never what is secret."""

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: a handshake that stalls holds up nobody else."""
        request.settimeout(READ_TIMEOUT_S)
        try:
            secured = self._context.wrap_socket(request, server_side=True)
        except OSError:
            return
        with secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that goes away is no event."""

    def answer(self, body: bytes) -> ApprovalAnswer:
        """The signed vote on what ``body`` asks. Raises ``AccordError``."""
        request = ApprovalRequest.from_fields(
            Fields(parse_json(body, what="request", limit=MAX_REQUEST), "request")
        )
        with self._home.connect() as session:
            _, machine, _ = self._home.read(session)
        answer = answer_request(
            request,
            machine,
            self._home.identity,
            now=lambda: datetime.now(UTC),
            check=self._check,
            attester=self._attester,
        )
        self.told(f"voted on {request.proposal}")
        return answer


class _Handler(BaseHTTPRequestHandler):
    """One request on one connection."""

    server: ApprovalServer
    server_version = sys_version = ""

    def do_POST(self) -> None:
        try:
            answer = self.server.answer(self._body())
        except AccordError as error:
            self.server.told(f"no vote: {error.code} {error}")
            status, problem = to_problem(error)
            self._reply(status, MEDIA_TYPE, canonical_json(problem))
        except OSError:
            self.close_connection = True
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no vote
            self.server.told(f"no vote: {type(error).__name__}")
            self._reply(500, "text/plain", b"")
        else:
            self._reply(200, "application/json", canonical_json(answer.to_json()))

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if self.path != APPROVAL_PATH:
            raise ApprovalRefusedError(detail=f"there is one route, {APPROVAL_PATH}")
        if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > MAX_REQUEST:
            raise ApprovalRefusedError(detail="the request has no usable length")
        return self.rfile.read(int(length))

    def _reply(self, status: int, media_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """What was asked is told by `ApprovalServer`, in our own words."""

# SPDX-License-Identifier: Apache-2.0
"""The Key Broker protocol over HTTP, for the guests of one board (docs/reference/kbs.md)."""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Place
from starlette.types import Receive, Scope, Send

from accord.collateral import CollateralCache, cached_endorsements, with_endorsements
from accord.encoding import Digest, base64_encode
from accord.errors import (
    AccordError,
    AppraisalError,
    CollateralCacheError,
    CollateralMissingError,
    EvidenceError,
    KBSBusyError,
    KBSCollateralError,
    KBSSessionError,
    KBSUnsupportedError,
    KBSVersionError,
    MalformedError,
    MethodNotAllowedError,
    NoPolicyError,
    NoSuchRouteError,
    NoSuchSecretError,
    NotAttestedError,
    ReleaseError,
    UnknownServiceError,
)
from accord.evidence import Evidence
from accord.policy import parse_policy_name
from accord.service._call import RECORD, Call, reply
from accord.service._core import TrustService
from accord.service._discreet import discreet
from accord.service._limits import Governor
from accord.service._problems import status_of
from accord.service._resources import GUEST_LIFETIME
from accord.service._route import KIB, MIB, Auth, Route
from accord.service.kbs._jwe import check_library
from accord.service.kbs._messages import HASH, Attestation, Hello
from accord.service.kbs._sessions import Admitted, Challenged, Sessions

_COOKIE: Final = "kbs-session-id"
_NONCE_BYTES = 32
_LONGEST = 4096

_AUTH = Route(
    handler="auth",
    path="/kbs/v0/auth",
    method="POST",
    auth=Auth.ANONYMOUS,
    summary="Begin",
    reply="Challenge",
    max_body=16 * KIB,
)
_ATTEST = Route(
    handler="attest",
    path="/kbs/v0/attest",
    method="POST",
    auth=Auth.SHIELD,
    summary="Show evidence",
    reply="Token",
    max_body=MIB,
)
_RESOURCE = Route(
    handler="resource",
    path="/kbs/v0/resource/{repository}/{type}/{tag}",
    auth=Auth.SHIELD,
    summary="Fetch a secret",
    reply="Response",
)

_UNAUTHORIZED = (KBSSessionError, KBSUnsupportedError, KBSVersionError, KBSCollateralError)
_NOT_FOUND = (NoPolicyError, UnknownServiceError, NoSuchSecretError)


class KeyBroker:
    """What stock guests of Confidential Containers may ask of one board.

    ``cache`` has the endorsements that guests do not bring. Raises ``KBSMissingError``.
    """

    def __init__(
        self,
        service: TrustService,
        board: Digest,
        *,
        cache: CollateralCache | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        check_library()
        self._service, self._board, self._cache = service, board, cache
        self._entropy = entropy
        self._challenged: Sessions[Challenged] = Sessions(entropy)
        self._admitted: Sessions[Admitted] = Sessions(entropy)

    def places(self, governor: Governor) -> list[Place]:
        """The routes, for the application to mount."""
        handlers = ((_AUTH, self.auth), (_ATTEST, self.attest), (_RESOURCE, self.resource))
        return [
            Place(route.path, _Endpoint(route, handler, governor)) for route, handler in handlers
        ]

    async def auth(self, call: Call) -> Response:
        """Begins a session, whatever session the caller thinks it has."""
        hello = Hello.from_json(await call.document())
        nonce = base64_encode(self._entropy(_NONCE_BYTES))
        name = self._challenged.keep(Challenged(hello, nonce), now=self._service.now())
        extra = {"selected-hash-algorithm": HASH} if hello.chooses else ""
        return _with_cookie(reply({"nonce": nonce, "extra-params": extra}), name)

    async def attest(self, call: Call) -> Response:
        """Ends the session that was challenged; if the evidence holds, begins another."""
        challenged = self._challenged.take(_session(call), now=self._service.now())
        attestation = Attestation.from_json(
            await call.document(), challenged.hello, challenged.nonce
        )
        if not hmac.compare_digest(attestation.nonce.encode(), challenged.nonce.encode()):
            raise NotAttestedError
        host = await self._service.host(self._board)
        evidence = await self._endorsed(attestation.evidence)
        guest, token = self._service.attest_guest(host, evidence, attestation.runtime_data)
        admitted = Admitted(guest, attestation.key)
        # Under a new name: whoever planted the old one in the guest does not know it.
        name = self._admitted.keep(admitted, now=self._service.now())
        return _with_cookie(reply({"token": token}), name)

    async def resource(self, call: Call) -> Response:
        """One secret for the key in the evidence, decided anew each time."""
        admitted = self._admitted.find(_session(call), now=self._service.now())
        repository, service, secret = call.path.split("/")[-3:]
        try:
            policy = parse_policy_name(repository.replace(":", "/"), what="repository")
        except MalformedError as exc:
            raise call.no_such_thing() from exc
        host = await self._service.host(self._board)
        value = await self._service.release_resource(
            host, admitted.guest, policy=policy, service=service, secret=secret
        )
        return reply(admitted.key.encrypt(value))

    async def _endorsed(self, evidence: Evidence) -> Evidence:
        """With what the cache has for its platform. Raises ``KBSCollateralError``."""
        if self._cache is None:
            return evidence
        try:
            found = await asyncio.to_thread(
                cached_endorsements, evidence, self._cache, now=self._service.now()
            )
        except (CollateralCacheError, CollateralMissingError) as exc:
            # Which files the operator keeps, and where, is no guest's business.
            raise KBSCollateralError(family=evidence.family) from exc
        except EvidenceError as exc:
            raise NotAttestedError from exc
        return with_endorsements(evidence, found)


class _Endpoint:
    """One route: an ASGI application whose refusals are in the protocol's own form."""

    def __init__(
        self, route: Route, handle: Callable[[Call], Awaitable[Response]], governor: Governor
    ) -> None:
        self._route, self._handle, self._governor = route, handle, governor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[RECORD].route = self._route.path
        try:
            answer = await self._answer(Request(scope, receive))
        except AccordError as exc:
            answer = _told(exc)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        call, method = Call(request, self._route), self._route.method
        if call.method != method:
            raise MethodNotAllowedError(
                method=call.method[:20], path=self._route.path, allowed=method
            )
        self._governor.stranger(call.address)
        call.query()
        return await self._handle(call)


def _session(call: Call) -> str:
    """The session that the caller names, once. Raises ``KBSSessionError``."""
    pairs = [item.strip().partition("=") for item in (call.header("cookie") or "").split(";")]
    names = [value for name, _, value in pairs if name == _COOKIE]
    if len(names) != 1:
        raise KBSSessionError
    return names[0]


def _with_cookie(answer: Response, name: str) -> Response:
    answer.set_cookie(
        _COOKIE,
        name,
        max_age=int(GUEST_LIFETIME.total_seconds()),
        path="/kbs/v0",
        secure=True,
        httponly=True,
        samesite="strict",
    )
    return answer


def _told(error: AccordError) -> Response:
    """A refusal: guests begin anew after 401, and give up after any other."""
    status, error = status_of(error), discreet(error)
    if isinstance(error, (*_UNAUTHORIZED, NotAttestedError)):
        status = 401
    elif isinstance(error, (*_NOT_FOUND, NoSuchRouteError)):
        status = 404
    elif isinstance(error, (ReleaseError, AppraisalError)):
        status = 403
    elif isinstance(error, KBSBusyError):
        status = 503
    words = "".join(c if c.isprintable() else "?" for c in f"{error} ({error.hint})")
    document = {"type": f"urn:accord:error:{error.code}", "detail": words[:_LONGEST]}
    answer = reply(document, status=status)
    if isinstance(error, MethodNotAllowedError):
        answer.headers["Allow"] = str(error.details["allowed"])
    return answer

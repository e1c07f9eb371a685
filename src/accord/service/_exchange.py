# SPDX-License-Identifier: Apache-2.0
"""Two trust services exchange a secret: each attests the other, and both logs say so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from accord.client import TrustSession
from accord.encoding import Digest, Envelope, Fields
from accord.errors import (
    AccordError,
    MalformedError,
    NotAttestedError,
    PeerExchangeError,
    SignatureInvalidError,
    WrongBoardError,
)
from accord.evidence import Evidence, Purpose, appraise, verify
from accord.identity import Statement, open_sealed, seal, verify_statement
from accord.policy import Policy, SecretSpec
from accord.release import (
    EXPORT_PURPOSE,
    ExchangeRequest,
    ExportedSecret,
    Importer,
    SecretExport,
    exchange_context,
    referenced_secrets,
    shared_policy,
)
from accord.secrets import SecretValue
from accord.service._host import BoardHost
from accord.service._parts import Parts
from accord.service._refusals import explained, unexplained
from accord.service._secret_names import secret_name

REQUEST_KIND, ANSWER_KIND, EXPORT_KIND = "exchange-request", "exported-secret", "export"


@dataclass(frozen=True, slots=True)
class PeerSecret:
    """A secret from another trust service, and the version of the policy that it is of."""

    version: Digest
    value: bytes = field(repr=False)


class Exchange:
    """Both sides: what this service imports for its policies, and what it hands out."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # --- importing -------------------------------------------------------------------------

    async def fetch(
        self, host: BoardHost, policy: Policy, service: str
    ) -> Mapping[str, PeerSecret]:
        """The secrets that the service's templates name and that other services hold.

        They are asked for anew each time: consent that has ended there ends here.
        Raises ``PeerExchangeError``.
        """
        names = referenced_secrets(policy.services[service])
        found = {}
        for name in names:
            spec = policy.secrets[name]
            if spec.service is not None:
                found[name] = await asyncio.to_thread(self._fetch, host.board, policy, name, spec)
        return found

    def _fetch(self, board: Digest, policy: Policy, name: str, spec: SecretSpec) -> PeerSecret:
        peer = spec.service
        if peer is None or peer.url is None or spec.policy is None or spec.secret is None:
            message = "only imports from other services are fetched"
            raise RuntimeError(message)
        importer = Importer(board, policy.name, policy.digest)
        try:
            # (1) The other service is the one that its board accepts, and the one we pinned.
            with TrustSession.open(peer.url, peer.board) as session:
                if session.keyset.verify_key != peer.log_key:
                    raise SignatureInvalidError(what="log", expected=peer.log_key.key_id)
                # (2) We prove to it who we are, for this secret and this policy's version.
                request = ExchangeRequest(
                    peer.board,
                    spec.policy,
                    spec.secret,
                    importer,
                    self._parts.keyset,
                    session.challenge(Purpose.EXCHANGE),
                )
                envelope = self._parts.sign(REQUEST_KIND, request.to_json())
                evidence = self._parts.attester.collect(request.binding.report_data())
                sealed = session.exchange(envelope, evidence)
            return self._opened(request, envelope, sealed, session.keyset.verify_key.key_id, name)
        except AccordError as exc:
            raise PeerExchangeError(url=peer.url, secret=name, detail=str(exc)) from exc

    def _opened(
        self, request: ExchangeRequest, envelope: Envelope, sealed: bytes, key: Digest, name: str
    ) -> PeerSecret:
        message = open_sealed(
            sealed,
            self._parts.keys.seal_private_key,
            purpose=EXPORT_PURPOSE,
            context=exchange_context(envelope.statement_digest),
        )
        # (3) The answer is its own, to this very request. Its keys were checked in (1).
        answer = Envelope.from_bytes(message, what=ANSWER_KIND)
        statement = self._by(answer, ANSWER_KIND, request, key)
        exported = ExportedSecret.from_fields(statement.fields())
        asked = (request.board, request.policy, request.secret, request.nonce)
        if (exported.board, exported.policy, exported.secret, exported.nonce) != asked:
            raise MalformedError(what=ANSWER_KIND, detail="it answers another request")
        SecretValue.from_bytes(exported.value, what=f"secret {name}")
        return PeerSecret(exported.policy_digest, exported.value)

# SPDX-License-Identifier: Apache-2.0
"""Two trust services exchange a secret: each attests the other, and both logs say so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from accord.client import TrustSession
from accord.encoding import Digest, Envelope, Fields, parse_canonical_json
from accord.errors import (
    AccordError,
    MalformedError,
    PeerExchangeError,
    SignatureInvalidError,
    WrongBoardError,
)
from accord.evidence import Evidence, Purpose, appraise, verify
from accord.identity import VerifyKey, open_sealed, seal, verify_statement
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
            # Members choose the address: our own network is not theirs to look around in.
            public = not self._parts.private_peers
            with TrustSession.open(
                peer.url, peer.board, public_only=public, purpose=Purpose.EXCHANGE
            ) as session:
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
            return self._opened(request, envelope, sealed, peer.log_key)
        except AccordError as exc:
            # Not its words: they may be those of whatever listens there.
            raise PeerExchangeError(url=peer.url, secret=name, detail=exc.code) from exc

    def _opened(
        self, request: ExchangeRequest, envelope: Envelope, sealed: bytes, key: VerifyKey
    ) -> PeerSecret:
        message = open_sealed(
            sealed,
            self._parts.keys.seal_private_key,
            purpose=EXPORT_PURPOSE,
            context=exchange_context(envelope.statement_digest),
        )
        # (3) The answer is its own, to this very request.
        answer = Envelope.from_bytes(message, what=ANSWER_KIND)
        statement = verify_statement(answer, ANSWER_KIND, {key.key_id: key})
        exported = ExportedSecret.from_fields(statement.fields())
        asked = (request.board, request.policy, request.secret, request.nonce)
        if (exported.board, exported.policy, exported.secret, exported.nonce) != asked:
            raise MalformedError(what=ANSWER_KIND, detail="it answers another request")
        SecretValue.from_bytes(exported.value, what=f"secret {request.secret}")
        return PeerSecret(exported.policy_digest, exported.value)

    # --- exporting -------------------------------------------------------------------------

    async def export(self, host: BoardHost, envelope: Envelope, evidence: Evidence) -> bytes:
        """Hands a secret to the trust service that signed ``envelope``: recorded, then sealed.

        Raises ``NotAttestedError``; once its evidence holds, what is wrong with the request.
        """
        # (1) Whoever asks holds the key that signs the other log.
        body = parse_canonical_json(envelope.payload, what=REQUEST_KIND)
        request = ExchangeRequest.from_fields(Fields(body, REQUEST_KIND))
        key = request.keyset.verify_key
        verify_statement(envelope, REQUEST_KIND, {key.key_id: key})
        state, now = host.machine.board, host.now()
        with unexplained():
            # (2) It asks this board, now.
            if request.board != host.board:
                raise WrongBoardError(found=request.board, expected=host.board)
            self._parts.challenges.consume(request.nonce, request.board, Purpose.EXCHANGE, now=now)
            # (3) It is in a genuine environment, under this board's anchors.
            claims = verify(
                evidence, anchors=state.genesis.anchors, now=now, binding=request.binding
            )
        with explained(self._parts, host, request.nonce):
            host.require_accepted()
            await host.opened()
            # (4) That environment is one that this board trusts with its own secrets.
            appraise(claims, state.charter.service, now=now)
            # (5) The policy in force here shares the secret with that very policy there.
            policy = shared_policy(
                state,
                policy=request.policy,
                secret=request.secret,
                importer=request.importer,
                log_key=key,
                now=now,
            )
        record = SecretExport(
            board=host.board,
            policy=policy.name,
            policy_digest=policy.digest,
            secret=request.secret,
            importer=request.importer,
            keyset=request.keyset,
            nonce=request.nonce,
            evidence=evidence.digest,
        )
        index = host.stage(
            self._parts.sign(EXPORT_KIND, record.to_json()),
            objects={evidence.digest: evidence.to_bytes()},
        )
        await host.confirmed(index)
        return await self._sealed(host, request, envelope, policy)

    async def _sealed(
        self, host: BoardHost, request: ExchangeRequest, envelope: Envelope, policy: Policy
    ) -> bytes:
        place = secret_name(policy.digest, request.secret)
        value = await self._parts.value(host.board, place, name=request.secret)
        exported = ExportedSecret(
            board=host.board,
            policy=policy.name,
            policy_digest=policy.digest,
            secret=request.secret,
            nonce=request.nonce,
            value=value,
        )
        return seal(
            self._parts.sign(ANSWER_KIND, exported.to_json()).to_bytes(),
            request.keyset.seal_key,
            purpose=EXPORT_PURPOSE,
            context=exchange_context(envelope.statement_digest),
        )

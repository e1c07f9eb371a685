# SPDX-License-Identifier: Apache-2.0
"""Single secrets for guests of the Key Broker protocol: decided, recorded, then handed out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from accord.encoding import Digest, sha256
from accord.evidence import Evidence, evaluate, sign_jwt
from accord.policy import FORMATS, Assurance
from accord.release import Guest, decide_resource, verify_guest
from accord.secrets import SecretValue, rendered
from accord.service._host import BoardHost
from accord.service._parts import Parts
from accord.service._refusals import unexplained
from accord.service._releases import stored_as

GUEST_LIFETIME = timedelta(minutes=5)
"""How long what evidence proved is relied on: guests fetch what they need when they start."""


class Resources:
    """Gives secrets to guests, one at a time, on the boards that this service writes."""

    def __init__(self, parts: Parts, assurance: Mapping[Digest, Assurance]) -> None:
        self._parts, self._assurance = parts, assurance

    def attest(self, host: BoardHost, evidence: Evidence, runtime_data: bytes) -> tuple[Guest, str]:
        """The guest, and a token for it. Raises ``NotAttestedError``.

        No policy is asked yet, so the token affirms nothing: it says what was found.
        """
        now = host.now()
        anchors = host.machine.board.genesis.anchors
        with unexplained():
            guest = verify_guest(evidence, runtime_data, anchors=anchors, now=now)
            result = evaluate(guest.claims, (), now=now)
        ear = result.ear(expires=now + GUEST_LIFETIME)
        return guest, sign_jwt(ear, self._parts.keys.signer)

    async def release(
        self, host: BoardHost, guest: Guest, *, policy: str, service: str, secret: str
    ) -> bytes:
        """The secret, where its kind has raw bytes as those.

        Raises REL and ATT errors, or ``ServiceDismissedError``.
        """
        host.require_accepted()
        await host.opened()
        enacted, release = decide_resource(
            host.machine.board,
            host.machine.uses,
            guest,
            policy=policy,
            service=service,
            secret=secret,
            service_assurance=self._assurance[host.board],
            now=host.now(),
            entropy=self._parts.entropy,
        )
        objects: dict[str, bytes] = {
            release.evidence: guest.evidence.to_bytes(),
            sha256(guest.runtime_data): guest.runtime_data,
        }
        index = host.stage(self._parts.sign("resource-release", release.to_json()), objects=objects)
        await host.confirmed(index)
        place = stored_as(enacted, release.secret)
        stored = await self._parts.value(host.board, place, name=secret)
        value = SecretValue.from_bytes(stored, what=f"secret {secret}")
        # Guests expect the bytes themselves; text is for templates.
        form = "bin" if "bin" in FORMATS[value.kind] else None
        return rendered(value, form, name=secret)

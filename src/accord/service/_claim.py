# SPDX-License-Identifier: Apache-2.0
"""Claiming: a fresh trust service belongs to nobody and serves nobody until one key claims it."""

from __future__ import annotations

import asyncio

from accord.board import Genesis
from accord.client import Founding, ServiceClaim, ServiceConfig, verify_claim, verify_config
from accord.encoding import Digest, Envelope
from accord.errors import (
    AlreadyClaimedError,
    ClaimInvalidError,
    FoundingRefusedError,
    NotClaimedError,
    SignatureInvalidError,
)
from accord.service._parts import Parts

_CLAIM, _CONFIG = "service-claim", "service-config"


class Ownership:
    """Who owns the service, and which boards it takes on; kept in the store's settings."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._claim: ServiceClaim | None = None
        self._configuring = asyncio.Lock()
        self._config = ServiceConfig(self.service)
        self._read(parts.hosting.store.setting(_CLAIM), parts.hosting.store.setting(_CONFIG))

    @property
    def service(self) -> Digest:
        """Id of the key that signs the logs: what a claim is bound to."""
        return self._parts.keyset.verify_key.key_id

    @property
    def config(self) -> ServiceConfig:
        return self._config

    async def current(self) -> ServiceClaim | None:
        """The claim, also where it was made through another service on the same store."""
        await self._reread()
        return self._claim

    async def _reread(self) -> bytes | None:
        """Reads everything anew; returns the stored configuration."""
        store, run = self._parts.hosting.store, self._parts.hosting.run
        config = await run(store.setting, _CONFIG)
        self._read(await run(store.setting, _CLAIM), config)
        return config

    def _read(self, claim: bytes | None, config: bytes | None) -> None:
        if claim is None:
            return
        # It is our own, and authentic; it is verified again because that is cheap.
        self._claim = verify_claim(Envelope.from_bytes(claim, what=_CLAIM))
        if config is not None:
            envelope = Envelope.from_bytes(config, what=_CONFIG)
            found = verify_config(envelope, self._claim.owner.verify_key)
            # It may have been read before a newer one was written.
            if found.sequence >= self._config.sequence:
                self._config = found

    async def claim(self, envelope: Envelope) -> ServiceClaim:
        """Makes the signer the owner; the same owner again is no error and changes nothing.

        Raises ``ClaimInvalidError``, ``AlreadyClaimedError``, and what reading raises.
        """
        wanted = verify_claim(envelope)
        if wanted.service != self.service:
            raise ClaimInvalidError(detail=f"it is for {wanted.service}, this is {self.service}")
        hosting = self._parts.hosting
        # Of two who come at the same time the store lets one be first.
        kept = await hosting.run(hosting.store.default_setting, _CLAIM, envelope.to_bytes())
        self._read(kept, None)
        held = self._claim
        if held is None or held.owner.verify_key != wanted.owner.verify_key:
            owner = held.owner.verify_key.key_id if held else "nobody"
            raise AlreadyClaimedError(owner=owner)
        return held

    async def configure(self, envelope: Envelope) -> ServiceConfig:
        """Takes in the owner's wishes: of several at the same time the newest stays.

        Raises ``NotClaimedError``, ``ClaimInvalidError``, and what verifying raises.
        """
        hosting, data = self._parts.hosting, envelope.to_bytes()
        replace = hosting.store.replace_setting
        async with self._configuring:
            stored = await self._reread()
            wanted = self._wanted(envelope)
            # Another service on the same store may have written one meanwhile.
            while not await hosting.run(replace, _CONFIG, stored, data):
                stored = await self._reread()
                wanted = self._wanted(envelope)
            self._config = wanted
        return wanted

    def _wanted(self, envelope: Envelope) -> ServiceConfig:
        """The owner's wishes, if they are newer than those that are known. Raises as above."""
        if self._claim is None:
            raise NotClaimedError
        key = self._claim.owner.verify_key
        try:
            wanted = verify_config(envelope, key)
        except SignatureInvalidError as exc:
            detail = f"only the owner of this service may do that: who holds {key.key_id}"
            raise ClaimInvalidError(detail=detail) from exc
        if wanted.service != self.service:
            raise ClaimInvalidError(detail=f"it is for {wanted.service}, this is {self.service}")
        if wanted.sequence <= self._config.sequence:
            raise ClaimInvalidError(
                detail=f"number {wanted.sequence} is not above {self._config.sequence}"
            )
        return wanted

    async def admit(self, genesis: Genesis, boards: int) -> None:
        """Whether one more board may be founded; ``boards`` are there already.

        Raises ``NotClaimedError`` or ``FoundingRefusedError``.
        """
        held = await self.current()
        if held is None:
            raise NotClaimedError
        if boards >= self._config.max_boards:
            raise FoundingRefusedError(detail=f"it serves {boards} boards, its owner's limit")
        owner = held.owner.verify_key.key_id
        if self._config.founding is Founding.OWNER and owner not in genesis.charter.keys:
            raise FoundingRefusedError(detail="its owner is none of the founders")

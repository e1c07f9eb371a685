# SPDX-License-Identifier: Apache-2.0
"""What the parts of one trust service share: its keys, its TEE, its store, its nonces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from accord.encoding import Digest, Envelope, JSONValue
from accord.evidence import Attester
from accord.identity import Keyset, sign_statement
from accord.release import Challenges
from accord.service._host import Hosting
from accord.service._keys import ServiceKeys


@dataclass(frozen=True, slots=True, repr=False)
class Parts:
    """Handed to everything that the service consists of; nothing of it changes while it runs."""

    hosting: Hosting
    attester: Attester
    keys: ServiceKeys
    keyset: Keyset
    challenges: Challenges
    entropy: Callable[[int], bytes]

    def sign(self, kind: str, body: JSONValue) -> Envelope:
        """A statement of the service itself."""
        return sign_statement(kind, body, [self.keys.signer])

    async def secret(self, board: Digest, name: str) -> bytes | None:
        """The value that the store keeps under this name."""
        return await self.hosting.run(self.hosting.store.secret, board, name)

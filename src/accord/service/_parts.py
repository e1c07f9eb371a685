# SPDX-License-Identifier: Apache-2.0
"""What the parts of one trust service share: its keys, its TEE, its store, its nonces."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from accord.encoding import Digest, Envelope, JSONValue
from accord.errors import SecretValueError
from accord.evidence import Attester
from accord.identity import Keyset, sign_statement
from accord.release import Challenges
from accord.service._hosting import Hosting
from accord.service._keys import ServiceKeys

RECENT = 256
"""Values kept in memory, which is the TEE's own: at most 64 KiB each."""


@dataclass(frozen=True, slots=True, repr=False)
class Parts:
    """Handed to everything that the service consists of; nothing of it changes while it runs."""

    hosting: Hosting
    attester: Attester
    keys: ServiceKeys
    keyset: Keyset
    challenges: Challenges
    entropy: Callable[[int], bytes]
    private_peers: bool = False
    """Whether services that members name may be on this machine or its own network."""

    _recent: OrderedDict[tuple[Digest, str], bytes] = field(default_factory=OrderedDict)
    """Values that were asked for last: a release does not wait for a thread that reads them."""

    def sign(self, kind: str, body: JSONValue) -> Envelope:
        """A statement of the service itself."""
        return sign_statement(kind, body, [self.keys.signer])

    async def secret(self, board: Digest, name: str) -> bytes | None:
        """The value that the store keeps under this name, which no other value ever gets.

        For `accord.service._secret_names` are made of digests. What was erased is empty in the
        store, and is not there.
        """
        value = self._recent.pop((board, name), None)
        if value is None:
            value = await self.hosting.run(self.hosting.store.secret, board, name) or None
        if value is not None:
            self._recent[board, name] = value
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)
        return value

    async def value(self, board: Digest, place: str, *, name: str) -> bytes:
        """`secret`. Raises ``SecretValueError``, which says ``name``, where it is not there."""
        value = await self.secret(board, place)
        if value is None:
            raise SecretValueError(name=name, detail="it is not there")
        return value

    def forget(self, board: Digest) -> None:
        """Drops the board's values from memory, once some are erased in the store."""
        for kept in [key for key in self._recent if key[0] == board]:
            del self._recent[kept]

# SPDX-License-Identifier: Apache-2.0
"""What a route is: who may call it, what it reads and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

JSON: Final = "application/json"

KIB, MIB = 1 << 10, 1 << 20

DOCUMENT_BYTES = 4 * MIB
"""A policy of 1 MiB, signed and in base64, with room; or evidence with an IMA log."""

PAGE_ENTRIES = 500
"""Most items of one page, and how many there are if nobody asks for fewer."""


class Auth(StrEnum):
    """What a caller must show before a route tells or does anything."""

    ANONYMOUS = "anonymous"
    MEMBER = "member"
    """A header that a member of the board signed."""

    READER = "reader"
    """A member's header, or one by a key that the policy names, or none where it says anyone."""

    STATEMENT = "statement"
    """The body holds a statement, signed by whoever may make it."""

    SHIELD = "attested shield"
    """Evidence in the body, or a signature by the key that evidence named."""

    PEER = "attested trust service"
    OWNER = "owner"
    """The body is signed by the service's owner, or by who becomes it."""

    LOCAL = "local"
    """Nothing, but from the machine itself; the operator may open it to all."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or a header field that a route reads."""

    name: str
    schema: str
    about: str
    header: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation; the method of `Handlers` called ``handler`` answers it."""

    handler: str
    path: str
    auth: Auth
    summary: str
    reply: str
    """Schema of the answer."""

    method: str = "GET"
    status: int = 200
    request: str = ""
    """Schema of the body; empty: none is read."""

    max_body: int = 0
    parameters: tuple[Parameter, ...] = ()
    media_type: str = JSON
    repeatable: bool = False
    """Whether a second request with the same idempotency key gets the first one's answer."""

    etag: bool = False


NEXT_NONCE = Parameter(
    "Accord-Next-Nonce", "NoncePurpose", "Ask for a nonce with the answer.", header=True
)
"""The answer then has it as `REPLAY_NONCE` (RFC 8555, section 6.5.1): a round trip less."""

REPLAY_NONCE = "Replay-Nonce"

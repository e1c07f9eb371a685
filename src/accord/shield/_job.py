# SPDX-License-Identifier: Apache-2.0
"""What a shield is started with, what it says at the end, and its way to the trust service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from accord.client import TrustSession
from accord.encoding import Digest
from accord.errors import GrantError
from accord.identity import VerifyKey
from accord.policy import Assurance, Channel
from accord.release import RunOutput

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Job:
    """The facts with which a shield starts; none of them is trusted, the last two are secret."""

    url: str
    board: Digest
    policy: str
    service: str
    storage: Path
    """Folder in which each volume has a folder named by its id."""

    memory: Path
    """Where private memory is mounted."""

    channel: Channel = Channel.L2
    """Never less than this: nobody on the way can have it lowered."""

    token: bytes | None = field(default=None, repr=False)
    """The instance token, for a service that needs one."""

    otp: str | None = field(default=None, repr=False)
    """The one-time password, for a service that needs one."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run went, for the operator: nothing here shows data."""

    run: str
    assurance: Assurance
    channel: str
    index: int
    """Index of the run statement in the board's log."""

    outputs: tuple[RunOutput, ...]
    service_measurements: dict[str, str]
    shield_measurements: dict[str, str]
    seconds: float
    timing: str
    """The trust service's own timing of the release."""


def open_session(job: Job) -> TrustSession:
    """The attested trust service. Raises CHN and ATT errors."""
    return TrustSession.open(job.url, job.board, channel=job.channel)


def open_again(job: Job, log_key: VerifyKey) -> TrustSession:
    """A new session with the very trust service that released the keys.

    A restarted service has a new TLS key, but the same key for its log.
    Raises ``GrantError``, CHN and ATT errors.
    """
    return require_key(open_session(job), log_key)


def require_key(session: TrustSession, log_key: VerifyKey) -> TrustSession:
    """The session, if it is with the holder of ``log_key``; else it is closed.

    Raises ``GrantError``.
    """
    if session.keyset.verify_key != log_key:
        with session:
            raise GrantError(detail="the trust service is another one than released the keys")
    return session

# SPDX-License-Identifier: Apache-2.0
"""Attesting the shield for one service of one policy, and believing what it then receives."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from accord.client import TrustSession
from accord.encoding import Envelope
from accord.errors import AccordError, GrantError, IdentityKeyError, LiveVolumesError
from accord.evidence import Attester
from accord.identity import (
    Keyset,
    KeySigner,
    SealKey,
    open_sealed,
    verify_statement,
)
from accord.policy import AUTHORITY, IDENTITY, names_in
from accord.release import (
    GRANT_PURPOSE,
    Grant,
    Lease,
    ReleaseRequest,
    grant_context,
    shield_binding,
)
from accord.secrets import SecretValue, spiffe_id
from accord.shield._identity import ServiceKey
from accord.shield._job import Job
from accord.shield._lease import boot_time

MAX_GRANT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Received:
    """A grant that fits what was asked for, and what the shield needs to use it."""

    grant: Grant
    secrets: Mapping[str, SecretValue] = field(repr=False)
    """Everything that templates may name."""

    keyset: Keyset
    signer: KeySigner = field(repr=False)
    own: ServiceKey | None
    asked: float
    """`boot_time` just before the release was asked for."""

    timing: str


def receive(session: TrustSession, job: Job, attester: Attester) -> Received:
    """Attests this shield to ``session`` and checks the grant that it gets for it.

    That the readers' keys are those of the members today is *not* checked: the board may have
    changed since it was founded, and only its members can read how (docs/explanation/shield.md).
    Raises ``GrantError``, ``LiveVolumesError``, REL, CHN and ATT errors.
    """
    try:
        return _receive(session, job, attester, None)
    except IdentityKeyError:
        # Only the policy says whether the service has a certificate, and this is how we learn.
        return _receive(session, job, attester, ServiceKey.generate())


def _receive(
    session: TrustSession, job: Job, attester: Attester, own: ServiceKey | None
) -> Received:
    signer = KeySigner(Ed25519PrivateKey.generate())
    seal_key = X25519PrivateKey.generate()
    keyset = Keyset(signer.verify_key, SealKey(seal_key.public_key().public_bytes_raw()))
    nonce = session.challenge()
    request = _request(session, job, attester, keyset=keyset, nonce=nonce, own=own)
    asked = boot_time()
    sealed, timing = session.release(request)
    message = open_sealed(
        sealed,
        seal_key,
        purpose=GRANT_PURPOSE,
        context=grant_context(job.board, nonce, keyset),
    )
    # Anybody can seal to us; only the attested trust service can sign a grant.
    service_key = session.keyset.verify_key
    statement = verify_statement(
        Envelope.from_bytes(message, what="grant", limit=MAX_GRANT_BYTES),
        "grant",
        {service_key.key_id: service_key},
    )
    grant = Grant.from_fields(statement.fields())
    _check(grant, job, own)
    secrets = _secrets(grant)
    if own is not None:
        secrets[IDENTITY] = _identity(grant.identity, job, own, secrets)
    return Received(grant, MappingProxyType(secrets), keyset, signer, own, asked, timing)


def _request(
    session: TrustSession,
    job: Job,
    attester: Attester,
    *,
    keyset: Keyset,
    nonce: bytes,
    own: ServiceKey | None,
) -> ReleaseRequest:
    spki = None if own is None else own.spki
    binding = shield_binding(
        job.board,
        job.policy,
        job.service,
        keyset,
        nonce,
        token_sha256=None if job.token is None else hashlib.sha256(job.token).digest(),
        tls_spki_sha256=None if spki is None else hashlib.sha256(spki).digest(),
        exporter=session.binder(nonce),
    )
    return ReleaseRequest(
        board=job.board,
        policy=job.policy,
        service=job.service,
        keyset=keyset,
        nonce=nonce,
        evidence=attester.collect(binding.report_data()),
        channel=session.channel,
        token=job.token,
        otp=job.otp,
        tls_spki=spki,
    )


def _check(grant: Grant, job: Job, own: ServiceKey | None) -> None:
    """That the grant is the answer to our question, and agrees with itself."""
    service = grant.service
    if (grant.board, grant.service_name) != (job.board, job.service):
        raise GrantError(detail="it is for another board or service")
    wanted = [(item.asset, item.tag) for item in service.inputs]
    if [(item.asset, item.tag) for item in grant.inputs] != wanted:
        raise GrantError(detail="its keys are not those of the service's inputs")
    readers = sorted(reader.name for reader in grant.readers)
    if readers != sorted({name for output in service.outputs for name in output.readers}):
        raise GrantError(detail="its readers are not those of the service's outputs")
    if service.volumes or grant.volumes:
        raise LiveVolumesError(service=grant.service_name)
    if (grant.lease_until is None) is not (service.lease_s is None):
        raise GrantError(detail="its lease is not the one that the service has")
    if not service.identity is (own is not None) is bool(grant.identity):
        raise GrantError(detail="it has a certificate and should not, or the other way round")


def _secrets(grant: Grant) -> dict[str, SecretValue]:
    """The values of exactly the secrets that the templates name."""
    named = {item.name for _, text in grant.service.templates() for item in names_in(text)}
    if set(grant.secrets) != named - {IDENTITY}:
        raise GrantError(detail="its secrets are not those that the service's templates name")
    return {name: _value(name, data) for name, data in grant.secrets.items()}


def _value(name: str, data: bytes) -> SecretValue:
    try:
        value = SecretValue.from_bytes(data, what=name)
    except AccordError:
        value = None
    if value is None:
        # Not inside the handler: a reader's complaint may quote what it read.
        raise GrantError(detail=f"the value of {name} is none")
    if name == AUTHORITY and (value.private or not value.public):
        raise GrantError(detail="it has the authority's own key, which nobody may get")
    return value


def _identity(
    chain: Sequence[bytes], job: Job, own: ServiceKey, secrets: Mapping[str, SecretValue]
) -> SecretValue:
    value = own.certified(chain, spiffe_id=spiffe_id(job.board, job.policy, job.service))
    if AUTHORITY in secrets and secrets[AUTHORITY].public[0] != chain[-1]:
        raise GrantError(detail="its certificate is of another authority")
    return value


def renewed_identity(lease: Lease, job: Job, received: Received) -> Mapping[str, SecretValue]:
    """What templates may name from now on. Raises ``GrantError``."""
    secrets = dict(received.secrets)
    if received.own is not None:
        secrets[IDENTITY] = _identity(lease.identity, job, received.own, secrets)
    return secrets

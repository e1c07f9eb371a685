# SPDX-License-Identifier: Apache-2.0
"""A trust service in this process, for shields alone: it signs and seals what a test wants."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from accord.client import TrustSession
from accord.encoding import Envelope, Fields, sha256
from accord.errors import AccordError, IdentityKeyError
from accord.evidence import Evidence, Purpose
from accord.identity import (
    Keyset,
    KeySigner,
    PublicIdentity,
    SealKey,
    VerifyKey,
    open_sealed,
    seal,
    sign_statement,
    verify_statement,
)
from accord.policy import Assurance, Channel, Family, Service
from accord.release import (
    GRANT_PURPOSE,
    OUTPUT_KEY_PURPOSE,
    Grant,
    Lease,
    LeaseRequest,
    ReleaseRequest,
    RunStatement,
    grant_context,
    lease_binding,
    output_key_context,
)
from accord.secrets import PolicyAuthority, SecretValue
from accord.shield import Job
from accord.volumes import LocalStore, VolumeKey, open_volume, parse_volume_id

BOARD = sha256(b"board")
POLICY, SERVICE = "train", "trainer"
RUN = "run-" + "5" * 32
READER = X25519PrivateKey.generate()

VARIANT = {"family": "tdx", "simulated": True, "measurements": {"mrtd": ["00" * 48]}}


class FakeAttester:
    """Its evidence is the report data itself."""

    measurements: Mapping[str, bytes] = {"mrtd": bytes(48)}

    def collect(self, report_data: bytes) -> Evidence:
        return Evidence(Family.TDX, report_data)

    def seal_key(self, label: str) -> bytes:
        return hashlib.sha256(label.encode()).digest()


def service_of(**changes: Any) -> Service:
    """A service that writes nothing and reads nothing."""
    document = {
        "attestation": [VARIANT],
        "command": ["true"],
        "inputs": [],
        "outputs": [{"name": "model", "at": "/out/model", "readers": ["ann"]}],
        **changes,
    }
    return Service.from_fields(Fields(document, "service"))


def shell(script: str, **changes: Any) -> Service:
    return service_of(command=["/bin/sh", "-c", script], **changes)


def identity_of(name: str) -> PublicIdentity:
    return PublicIdentity(
        name,
        VerifyKey(Ed25519PrivateKey.generate().public_key().public_bytes_raw()),
        SealKey(READER.public_key().public_bytes_raw()),
    )


@dataclass
class FakeService:
    """What `TrustSession` is to a shield; every request is kept."""

    service: Service
    values: Mapping[str, SecretValue] = field(default_factory=dict)
    change: Callable[[Grant], Grant] = lambda grant: grant
    channel: Channel = Channel.L2
    refusals: list[AccordError] = field(default_factory=list)
    """What the next renewals end with; after the last, all succeed."""

    too_late: AccordError | None = None
    """What a run statement with outputs is refused with."""

    def __post_init__(self) -> None:
        self.signer = KeySigner(Ed25519PrivateKey.generate())
        self.keyset = Keyset(self.signer.verify_key, SealKey(bytes(32)))
        self.result = SimpleNamespace(claims=SimpleNamespace(measurements={}))
        self.authority = PolicyAuthority.create(board=BOARD, policy=POLICY, now=datetime.now(UTC))
        self.requests: list[ReleaseRequest] = []
        self.renewals: list[LeaseRequest] = []
        self.purposes: list[Purpose] = []
        self.statements: list[RunStatement] = []
        self.closed = False

    def install(self, monkeypatch: Any) -> Self:
        """Every session that a shield opens is this one."""
        monkeypatch.setattr(TrustSession, "open", lambda *_, **__: self)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def challenge(self, purpose: Purpose = Purpose.RELEASE) -> bytes:
        self.purposes.append(purpose)
        return os.urandom(32)

    def binder(self, nonce: bytes) -> bytes | None:
        return nonce[::-1] if self.channel is Channel.L2 else None

    def chain(self, spki: bytes) -> tuple[bytes, ...]:
        now = datetime.now(UTC)
        return self.authority.issue(spki, service=SERVICE, now=now, lifetime=timedelta(hours=1))

    def release(self, request: ReleaseRequest) -> tuple[bytes, str]:
        self.requests.append(request)
        binding = request.binding(self.binder(request.nonce))
        assert request.evidence.blob == binding.report_data()
        if self.service.identity is (request.tls_spki is None):
            raise IdentityKeyError(service=request.service, detail="none was sent")
        chain = self.chain(request.tls_spki) if request.tls_spki else ()
        lease_s = self.service.lease_s
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=lease_s or 0)
        readers = {name for output in self.service.outputs for name in output.readers}
        grant = Grant(
            board=BOARD,
            run=RUN,
            policy_digest=sha256(b"policy"),
            service_name=SERVICE,
            service=self.service,
            assurance=Assurance.SIMULATED,
            inputs=(),
            readers=tuple(identity_of(name) for name in sorted(readers)),
            secrets={name: value.to_bytes() for name, value in self.values.items()},
            identity=chain,
            lease_until=until if lease_s else None,
        )
        envelope = sign_statement("grant", self.change(grant).to_json(), [self.signer])
        context = grant_context(BOARD, request.nonce, request.keyset)
        sealed = seal(
            envelope.to_bytes(), request.keyset.seal_key, purpose=GRANT_PURPOSE, context=context
        )
        return sealed, "total;dur=1"

    def renew(self, request: LeaseRequest) -> Lease:
        self.renewals.append(request)
        (first, *_) = self.requests[-1:]
        binding = lease_binding(
            BOARD, RUN, first.keyset, request.nonce, exporter=self.binder(request.nonce)
        )
        assert request.evidence.blob == binding.report_data()
        request.verify(first.keyset.verify_key)
        if self.refusals:
            raise self.refusals.pop(0)
        chain = self.chain(first.tls_spki) if first.tls_spki else ()
        return Lease(BOARD, RUN, request.nonce, datetime.now(UTC), chain)

    def record_run(self, envelope: Envelope) -> int:
        key = self.requests[-1].keyset.verify_key
        statement = verify_statement(envelope, "run", {key.key_id: key})
        self.statements.append(RunStatement.from_fields(statement.fields()))
        if self.statements[-1].outputs and self.too_late is not None:
            raise self.too_late
        return 7

    def output(self, job: Job, place: Path) -> Path:
        """What its reader sees of the only output of the last run."""
        (output,) = self.statements[-1].outputs
        ((reader, sealed),) = output.sealed_keys
        context = output_key_context(BOARD, RUN, output.name, reader)
        key = open_sealed(sealed, READER, purpose=OUTPUT_KEY_PURPOSE, context=context)
        volume_id = parse_volume_id(output.volume_id, what="volume_id")
        store = LocalStore(job.storage / volume_id)
        open_volume(store, key=VolumeKey(key), volume_id=volume_id, tag=output.tag).extract(place)
        return place


def job_in(folder: Path, **changes: Any) -> Job:
    """A job of `FakeService`, whose places are below ``folder``."""
    (folder / "memory").mkdir()
    job = Job(
        "https://trust.example", BOARD, POLICY, SERVICE, folder / "storage", folder / "memory"
    )
    return replace(job, **changes)
